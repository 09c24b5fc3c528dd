#include "support/device.hpp"

#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include <new>
#include <stdexcept>
#include <string>
#include <utility>

namespace natgrad::tests {

Context test_context(Context::Options options) { return Context::cuda(std::move(options)); }

Device test_device() { return {DeviceKind::cuda, 0}; }

void* allocate_shared(std::size_t bytes) {
  int concurrent = 0;
  cudaError_t status = cudaDeviceGetAttribute(&concurrent, cudaDevAttrConcurrentManagedAccess, 0);
  if (status == cudaSuccess && concurrent == 0) {
    throw std::runtime_error("the device cannot share memory with the host while it runs");
  }
  void* memory = nullptr;
  if (status == cudaSuccess) status = cudaMallocManaged(&memory, bytes, cudaMemAttachGlobal);
  if (status != cudaSuccess) throw std::bad_alloc();
  return memory;
}

void free_shared(void* memory, std::size_t) {
  // Destructors come here: what fails is reported and not thrown.
  cudaError_t status = cudaDeviceSynchronize();
  if (status == cudaSuccess) status = cudaFree(memory);
  if (status != cudaSuccess) ADD_FAILURE() << "free_shared: " << cudaGetErrorString(status);
}

void synchronize_device() {
  const cudaError_t status = cudaDeviceSynchronize();
  if (status == cudaSuccess) return;
  throw std::runtime_error(std::string("cudaDeviceSynchronize: ") + cudaGetErrorString(status));
}

}  // namespace natgrad::tests
