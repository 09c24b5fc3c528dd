#pragma once

#include "support/emulated_cuda/memory.hpp"
#include "support/emulated_cuda/state.hpp"
#include "support/emulated_cuda/streams.hpp"

#include <cuda_runtime_api.h>

#include <cstdint>
#include <library_types.h>
#include <limits>

// What cuBLAS and cuSOLVER share.

namespace natgrad::emulated_cuda {

inline bool is_real(cudaDataType type) { return type == CUDA_R_32F || type == CUDA_R_64F; }
inline std::int64_t bytes_of(cudaDataType type) {
  if (type == CUDA_R_16F) return 2;
  return type == CUDA_R_64F ? 8 : 4;
}

/// Bytes from the first to the last element of a matrix kept by columns.
inline std::int64_t matrix_bytes(std::int64_t rows, std::int64_t columns, std::int64_t ld,
                                 cudaDataType type) {
  if (rows == 0 || columns == 0) return 0;
  return ((columns - 1) * ld + rows) * bytes_of(type);
}

/// Whether a matrix kept by columns is one, and the CPU's BLAS can address it.
inline bool is_matrix(std::int64_t rows, std::int64_t columns, std::int64_t ld) {
  constexpr std::int64_t most = std::numeric_limits<int>::max();
  return rows >= 0 && columns >= 0 && ld >= (rows > 1 ? rows : 1) && columns <= most && ld <= most;
}

/// Handles that are alive.
std::int64_t blas_handle_count();
std::int64_t solver_handle_count();

/// The queue of a library call by a handle of `device`, which counts; null where the stream is
/// another device's, or where the call is due to fail.
inline Queue* begin_library_call(cudaStream_t stream, int device) {
  Queue* queue = find_queue(stream);
  if (queue == nullptr || queue->device != device) return nullptr;
  ++state().counters.library_calls;
  return is_due(state().work_to_failure) ? nullptr : queue;
}

}  // namespace natgrad::emulated_cuda
