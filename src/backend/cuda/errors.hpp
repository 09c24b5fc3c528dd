#pragma once

#include "core/message.hpp"
#include "natgrad/error.hpp"

#include <cublas_v2.h>
#include <cuda_runtime_api.h>
#include <cusolverDn.h>

// Every status of the CUDA libraries goes through one of these.

namespace natgrad::cuda {

inline void check(cudaError_t status, const char* what) {
  if (status == cudaSuccess) return;
  cudaGetLastError();  // said here: the caller's next look is not to find it again
  if (status == cudaErrorMemoryAllocation) {
    throw MemoryError(detail::message("CUDA: no memory left for ", what));
  }
  throw DeviceError(detail::message("CUDA: ", what, ": ", cudaGetErrorString(status)));
}

inline void check(cublasStatus_t status, const char* what) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  throw DeviceError(detail::message("cuBLAS: ", what, ": ", cublasGetStatusString(status)));
}

inline void check(cusolverStatus_t status, const char* what) {
  if (status == CUSOLVER_STATUS_SUCCESS) return;
  throw DeviceError(detail::message("cuSOLVER: ", what, ": status ", static_cast<int>(status)));
}

}  // namespace natgrad::cuda
