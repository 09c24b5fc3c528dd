#pragma once

#include "natgrad/context.hpp"
#include "natgrad/export.hpp"

#include <cuda_runtime_api.h>

// The one public header that names CUDA: for programs that have streams of their own.

namespace natgrad {

/// A context whose work is ordered on the caller's stream, on that stream's device: kernels that
/// the caller enqueues there before and after need no synchronization with it. The stream must
/// outlive everything that is made from the context; one that was destroyed cannot be told from
/// others. Throws `DeviceError` where there is no driver, no device, or no code for it in this
/// build, `MemoryError` where there is no room for the handles or their
/// workspace.
///
/// Every call of what is made from the context makes the stream's device current and, at its end,
/// the one again that the calling thread had. From CUDA 12 on that creates a CUDA context of some
/// hundred MB on a device that has none yet: with several devices, call cudaSetDevice for the
/// stream's in every thread that uses it.
NATGRAD_EXPORT Context cuda_context(cudaStream_t stream, Context::Options options = {});

/// The stream that a context's work is ordered on. Throws `DeviceError` for one of the CPU.
NATGRAD_EXPORT cudaStream_t cuda_stream(const Context& context);

}  // namespace natgrad
