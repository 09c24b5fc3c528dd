#pragma once

#include "kernels/cuda/launch.hpp"
#include "support/emulated_cuda/control.hpp"

#include <cublas_v2.h>
#include <cuda_runtime_api.h>
#include <cusolverDn.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <initializer_list>
#include <string>
#include <vector>

// What the emulated device's own tests share.

namespace natgrad::tests {

namespace device = emulated_cuda;
using kernels::barrier;
using kernels::Extent;
using kernels::group_barrier;
using kernels::launch;
using kernels::shared_array;
using kernels::Thread;

/// Keeps failures instead of aborting, while it lives.
class Recorder {
 public:
  Recorder() {
    device::set_failure_handler([this](const std::string& message) { found_.push_back(message); });
  }
  ~Recorder() { device::set_failure_handler({}); }
  Recorder(const Recorder&) = delete;
  Recorder& operator=(const Recorder&) = delete;

  std::size_t count() const { return found_.size(); }
  bool has(const std::string& part) const {
    for (const std::string& message : found_) {
      if (message.find(part) != std::string::npos) return true;
    }
    return false;
  }

 private:
  std::vector<std::string> found_;
};

template <class T>
struct DeviceArray {
  explicit DeviceArray(std::int64_t count) : size(count) {
    EXPECT_EQ(cudaMalloc(reinterpret_cast<void**>(&data), bytes()), cudaSuccess);
  }
  explicit DeviceArray(const std::vector<T>& elements)
      : DeviceArray(static_cast<std::int64_t>(elements.size())) {
    EXPECT_EQ(cudaMemcpy(data, elements.data(), bytes(), cudaMemcpyHostToDevice), cudaSuccess);
  }
  DeviceArray(std::initializer_list<T> elements) : DeviceArray(std::vector<T>(elements)) {}
  ~DeviceArray() { EXPECT_EQ(cudaFree(data), cudaSuccess); }
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;

  std::size_t bytes() const { return static_cast<std::size_t>(size) * sizeof(T); }
  std::vector<T> elements() const {
    std::vector<T> host(static_cast<std::size_t>(size));
    EXPECT_EQ(cudaMemcpy(host.data(), data, bytes(), cudaMemcpyDeviceToHost), cudaSuccess);
    return host;
  }

  T* data = nullptr;
  std::int64_t size;
};

struct Stream {
  Stream() { EXPECT_EQ(cudaStreamCreateWithFlags(&handle, cudaStreamNonBlocking), cudaSuccess); }
  ~Stream() { EXPECT_EQ(cudaStreamDestroy(handle), cudaSuccess); }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  void synchronize() const { EXPECT_EQ(cudaStreamSynchronize(handle), cudaSuccess); }
  cudaStream_t handle = nullptr;
};

/// cuBLAS and cuSOLVER on one stream, with a workspace.
struct Libraries {
  Libraries() : workspace(1024) {
    EXPECT_EQ(cublasCreate(&blas), CUBLAS_STATUS_SUCCESS);
    EXPECT_EQ(cublasSetStream(blas, stream.handle), CUBLAS_STATUS_SUCCESS);
    EXPECT_EQ(cublasSetWorkspace(blas, workspace.data, workspace.bytes()), CUBLAS_STATUS_SUCCESS);
    EXPECT_EQ(cublasSetPointerMode(blas, CUBLAS_POINTER_MODE_HOST), CUBLAS_STATUS_SUCCESS);
    EXPECT_EQ(cusolverDnCreate(&solver), CUSOLVER_STATUS_SUCCESS);
    EXPECT_EQ(cusolverDnSetStream(solver, stream.handle), CUSOLVER_STATUS_SUCCESS);
    EXPECT_EQ(cusolverDnCreateParams(&params), CUSOLVER_STATUS_SUCCESS);
  }
  ~Libraries() {
    stream.synchronize();
    EXPECT_EQ(cublasDestroy(blas), CUBLAS_STATUS_SUCCESS);
    EXPECT_EQ(cusolverDnDestroy(solver), CUSOLVER_STATUS_SUCCESS);
    EXPECT_EQ(cusolverDnDestroyParams(params), CUSOLVER_STATUS_SUCCESS);
  }
  DeviceArray<double> workspace;
  Stream stream;
  cublasHandle_t blas = nullptr;
  cusolverDnHandle_t solver = nullptr;
  cusolverDnParams_t params = nullptr;
};

/// out[i] = base + i
struct Count {
  static constexpr bool synchronizes = false;
  double* out;
  std::int64_t size;
  double base;
  void operator()(const Thread& thread) const {
    for (std::int64_t i = thread.column(); i < size; i += thread.columns()) {
      out[i] = base + static_cast<double>(i);
    }
  }
};

/// Swaps the elements of each block's part end for end.
struct Reverse {
  static constexpr bool synchronizes = true;
  double* data;
  bool with_barrier;
  void operator()(const Thread& thread) const {
    double* part = shared_array<double, 64>();
    part[thread.index.x] = data[thread.column()];
    if (with_barrier) barrier();
    data[thread.column()] = part[thread.threads.x - 1 - thread.index.x];
  }
};

inline std::vector<double> counted(std::int64_t size, double base = 0) {
  std::vector<double> elements;
  for (std::int64_t i = 0; i < size; ++i) elements.push_back(base + static_cast<double>(i));
  return elements;
}

class emulated : public testing::Test {
 protected:
  void SetUp() override { device::set_eager(false); }
};

}  // namespace natgrad::tests
