#include "support/emulated_cuda/memory.hpp"
#include "support/emulated_cuda/state.hpp"
#include "support/emulated_cuda/streams.hpp"

#include <cuda_runtime_api.h>

#include <cstdio>

// Devices and errors of the runtime.

namespace natgrad::emulated_cuda {

namespace {

thread_local int device_of_thread = 0;
thread_local cudaError_t last_error = cudaSuccess;

struct ErrorText {
  cudaError_t status;
  const char* name;
  const char* text;
};
constexpr ErrorText error_texts[] = {
    {cudaSuccess, "cudaSuccess", "no error"},
    {cudaErrorInvalidValue, "cudaErrorInvalidValue", "invalid argument"},
    {cudaErrorMemoryAllocation, "cudaErrorMemoryAllocation", "out of memory"},
    {cudaErrorInvalidConfiguration, "cudaErrorInvalidConfiguration",
     "invalid configuration argument"},
    {cudaErrorInsufficientDriver, "cudaErrorInsufficientDriver",
     "CUDA driver version is insufficient for CUDA runtime version"},
    {cudaErrorNoDevice, "cudaErrorNoDevice", "no CUDA-capable device is detected"},
    {cudaErrorInvalidDevice, "cudaErrorInvalidDevice", "invalid device ordinal"},
    {cudaErrorInvalidResourceHandle, "cudaErrorInvalidResourceHandle", "invalid resource handle"},
    {cudaErrorIllegalState, "cudaErrorIllegalState",
     "the operation cannot be performed in the present state"},
    {cudaErrorStreamCaptureUnsupported, "cudaErrorStreamCaptureUnsupported",
     "operation not permitted when stream is capturing"},
    {cudaErrorStreamCaptureInvalidated, "cudaErrorStreamCaptureInvalidated",
     "operation failed due to a previous error during capture"},
    {cudaErrorNotReady, "cudaErrorNotReady", "device not ready"},
};
constexpr ErrorText unknown_error = {cudaErrorUnknown, "cudaErrorUnknown", "unknown error"};

const ErrorText& text_of(cudaError_t status) {
  for (const ErrorText& text : error_texts) {
    if (text.status == status) return text;
  }
  return unknown_error;
}

cudaError_t attribute(cudaDeviceAttr name, int* value) {
  switch (name) {
    case cudaDevAttrComputeCapabilityMajor:
      *value = state().compute_capability;
      return cudaSuccess;
    case cudaDevAttrMultiProcessorCount:
      *value = 4;
      return cudaSuccess;
    case cudaDevAttrMaxThreadsPerBlock:
      *value = 1024;
      return cudaSuccess;
    case cudaDevAttrMaxSharedMemoryPerBlock:
      *value = 48 << 10;
      return cudaSuccess;
    case cudaDevAttrWarpSize:
      *value = 32;
      return cudaSuccess;
    case cudaDevAttrComputeCapabilityMinor:
    case cudaDevAttrIntegrated:
    case cudaDevAttrPageableMemoryAccess:
      *value = 0;
      return cudaSuccess;
    case cudaDevAttrManagedMemory:
    case cudaDevAttrConcurrentManagedAccess:
    case cudaDevAttrMemoryPoolsSupported:
    case cudaDevAttrUnifiedAddressing:
    case cudaDevAttrCanMapHostMemory:
      *value = 1;
      return cudaSuccess;
    default:
      fail("cudaDeviceGetAttribute: nobody said what attribute ", static_cast<int>(name), " is");
      return cudaErrorInvalidValue;
  }
}

bool is_device(int device) { return device >= 0 && device < state().devices; }

/// Under the lock.
cudaError_t check_device(int device) {
  const cudaError_t status = device_status();
  if (status != cudaSuccess) return status;
  return is_device(device) ? cudaSuccess : cudaErrorInvalidDevice;
}

}  // namespace

cudaError_t remember(cudaError_t status) {
  if (status != cudaSuccess && status != cudaErrorNotReady) last_error = status;
  return status;
}

cudaError_t device_status() {
  if (state().driver_version / 1000 < CUDART_VERSION / 1000) return cudaErrorInsufficientDriver;
  return state().devices > 0 ? cudaSuccess : cudaErrorNoDevice;
}

int current_device() { return device_of_thread; }

}  // namespace natgrad::emulated_cuda

using namespace natgrad::emulated_cuda;

cudaError_t cudaGetDeviceCount(int* count) {
  const Lock lock = lock_state();
  const cudaError_t status = device_status();
  *count = status == cudaSuccess ? state().devices : 0;
  return remember(status);
}

cudaError_t cudaGetDevice(int* device) {
  const Lock lock = lock_state();
  *device = device_of_thread;
  return remember(device_status());
}

cudaError_t cudaSetDevice(int device) {
  const Lock lock = lock_state();
  const cudaError_t status = check_device(device);
  if (status == cudaSuccess) device_of_thread = device;
  return remember(status);
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr name, int device) {
  const Lock lock = lock_state();
  const cudaError_t status = check_device(device);
  return remember(status == cudaSuccess ? attribute(name, value) : status);
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  const Lock lock = lock_state();
  const cudaError_t status = check_device(device);
  if (status != cudaSuccess) return remember(status);
  *properties = {};
  std::snprintf(properties->name, sizeof properties->name, "emulated device %d", device);
  properties->totalGlobalMem = state().device_bytes;
  properties->sharedMemPerBlock = 48 << 10;
  properties->warpSize = 32;
  properties->maxThreadsPerBlock = 1024;
  properties->major = state().compute_capability;
  properties->multiProcessorCount = 4;
  properties->managedMemory = 1;
  properties->concurrentManagedAccess = 1;
  return cudaSuccess;
}

cudaError_t cudaDriverGetVersion(int* version) {
  const Lock lock = lock_state();
  *version = state().driver_version;
  return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = CUDART_VERSION;
  return cudaSuccess;
}

cudaError_t cudaDeviceSynchronize() {
  Lock lock = lock_state();
  const cudaError_t status = device_status();
  if (status != cudaSuccess) return remember(status);
  ++state().counters.synchronizations;
  if (refuse_captured(device_of_thread)) return remember(cudaErrorStreamCaptureUnsupported);
  drain_device(lock, device_of_thread);
  check_fences();
  return cudaSuccess;
}

cudaError_t cudaGetLastError() {
  const cudaError_t status = last_error;
  last_error = cudaSuccess;
  return status;
}

cudaError_t cudaPeekAtLastError() { return last_error; }

const char* cudaGetErrorString(cudaError_t status) { return text_of(status).text; }

const char* cudaGetErrorName(cudaError_t status) { return text_of(status).name; }
