#pragma once

#include "natgrad/context.hpp"
#include "natgrad/export.hpp"

#include <cuda_runtime_api.h>

// The one public header that names CUDA: for programs that have streams of their own.

namespace natgrad {

/// Makes a context whose work is ordered on the caller's stream, on the device of that stream.
/// Kernels that the caller enqueues there before and after need no synchronization with it.
///
/// `stream`: must outlive everything that is made from the context; the library cannot notice that
/// a stream was destroyed. Throws `DeviceError` where there is no driver, no device, or no code for
/// it in this build, and `MemoryError` where there is no room for the library handles or their
/// workspace (32 MiB from compute capability 9 on, 4 MiB before).
///
/// Every call to an object made from the context makes the stream's device current, and restores
/// the calling thread's current device when it returns. From CUDA 12 on, restoring creates a CUDA
/// context of some hundred MB on a device that has none yet: in programs with several devices, call
/// cudaSetDevice for the stream's device in every thread that uses the context.
NATGRAD_EXPORT Context cuda_context(cudaStream_t stream, Context::Options options = {});

/// Orders a context's work on another stream of its device from the next call on, as when the
/// caller's framework changes its current stream. Work that was queued on the stream before comes
/// first: the new stream waits for it by an event, the host does not. The stream before may be
/// destroyed as soon as this returns; memory that the context holds is given back on the new one.
/// CUDA graphs that were captured before remain what they are, and are launched by their owner.
/// Throws `DeviceError` for a context on the CPU, for a stream of another device or one that the
/// runtime refuses, and `ArgumentError` while either stream is captured; nothing has changed then.
NATGRAD_EXPORT void set_cuda_stream(const Context& context, cudaStream_t stream);

/// The stream on which a context's work is ordered. Throws `DeviceError` for a context on the CPU.
NATGRAD_EXPORT cudaStream_t cuda_stream(const Context& context);

}  // namespace natgrad
