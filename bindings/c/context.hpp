#pragma once

#include "natgrad/context.hpp"

namespace natgrad::c {

/// A context on a stream of the caller's, a cudaStream_t; throws `DeviceError` in a build without
/// CUDA. Defined in cuda/ and without_cuda/.
Context context_on(void* stream, Context::Options options);

}  // namespace natgrad::c
