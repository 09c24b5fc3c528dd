#pragma once

#include "natgrad/context.hpp"

namespace natgrad::c {

/// A context on a stream of the caller's, a cudaStream_t; throws `DeviceError` in a build without
/// CUDA. Defined in cuda/ and without_cuda/.
Context context_on(void* stream, Context::Options options);
/// The same for `set_cuda_stream`.
void set_stream(const Context& context, void* stream);

}  // namespace natgrad::c
