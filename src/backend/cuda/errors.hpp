#pragma once

#include "core/message.hpp"
#include "natgrad/error.hpp"

#include <cublas_v2.h>
#include <cuda_runtime_api.h>
#include <cusolverDn.h>

// Every status of the CUDA libraries goes through one of these.

namespace natgrad::cuda {

[[noreturn]] inline void throw_no_memory(const char* library, const char* what) {
  throw MemoryError(detail::message(library, ": ", what, ": no memory left"));
}

inline void check(cudaError_t status, const char* what) {
  if (status == cudaSuccess) return;
  cudaGetLastError();  // said here: the caller's next look is not to find it again
  if (status == cudaErrorMemoryAllocation) throw_no_memory("CUDA", what);
  throw DeviceError(detail::message("CUDA: ", what, ": ", cudaGetErrorString(status)));
}

/// For what must not throw: whoever looks at the runtime's last error next is not to find this one.
inline void disregard(cudaError_t status) noexcept {
  if (status != cudaSuccess) cudaGetLastError();
}

inline void check(cublasStatus_t status, const char* what) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  if (status == CUBLAS_STATUS_ALLOC_FAILED) throw_no_memory("cuBLAS", what);
  throw DeviceError(detail::message("cuBLAS: ", what, ": ", cublasGetStatusString(status)));
}

inline void check(cusolverStatus_t status, const char* what) {
  if (status == CUSOLVER_STATUS_SUCCESS) return;
  if (status == CUSOLVER_STATUS_ALLOC_FAILED) throw_no_memory("cuSOLVER", what);
  throw DeviceError(detail::message("cuSOLVER: ", what, ": status ", static_cast<int>(status)));
}

}  // namespace natgrad::cuda
