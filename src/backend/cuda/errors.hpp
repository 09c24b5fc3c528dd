#pragma once

#include "core/message.hpp"
#include "natgrad/error.hpp"

#include <cublas_v2.h>
#include <cuda_runtime_api.h>
#include <cusolverDn.h>

#include <cstddef>

// Every status of the CUDA libraries goes through one of these.

namespace natgrad::cuda {

inline void check(cudaError_t status, const char* what) {
  if (status == cudaSuccess) return;
  cudaGetLastError();  // clears it: it is reported here
  if (status == cudaErrorMemoryAllocation) {
    throw MemoryError(detail::message("CUDA: ", what, ": no memory left"));
  }
  throw DeviceError(detail::message("CUDA: ", what, ": ", cudaGetErrorString(status)));
}

/// Drops an error where nothing may throw, and clears it, so that no later call reports it.
inline void disregard(cudaError_t status) noexcept {
  if (status != cudaSuccess) cudaGetLastError();
}

inline void check(cublasStatus_t status, const char* what) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  throw DeviceError(detail::message("cuBLAS: ", what, ": ", cublasGetStatusString(status)));
}

inline void check(cusolverStatus_t status, const char* what) {
  if (status == CUSOLVER_STATUS_SUCCESS) return;
  throw DeviceError(detail::message("cuSOLVER: ", what, ": status ", static_cast<int>(status)));
}

/// Throws `MemoryError` where a library could not create a handle for want of memory: it says so
/// (`refused`), or calls it an internal error or not being initialized while the device has less
/// free memory than a handle, and the code that is loaded with it, may take.
inline void require_room_for_handle(bool refused, const char* library, int status) {
  constexpr std::size_t most_of_a_handle = std::size_t{256} << 20;
  std::size_t free = 0;
  std::size_t total = 0;
  const cudaError_t asked = cudaMemGetInfo(&free, &total);
  disregard(asked);
  if (!refused && (asked != cudaSuccess || free >= most_of_a_handle)) return;
  throw MemoryError(detail::message(library, ": create a handle: no memory left (", free >> 20,
                                    " MiB, status ", status, ")"));
}

/// Checks that a handle was created. Only here is a lack of memory a `MemoryError`, which promises
/// that nothing was changed; enqueued work that fails for it may have changed something.
inline void check_made(cublasStatus_t status) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  require_room_for_handle(status == CUBLAS_STATUS_ALLOC_FAILED, "cuBLAS", status);
  check(status, "create a handle");
}
inline void check_made(cusolverStatus_t status) {
  if (status == CUSOLVER_STATUS_SUCCESS) return;
  require_room_for_handle(status == CUSOLVER_STATUS_ALLOC_FAILED, "cuSOLVER", status);
  check(status, "create a handle");
}

}  // namespace natgrad::cuda
