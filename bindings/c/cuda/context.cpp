#include "bindings/c/context.hpp"

#include "natgrad/cuda.hpp"

#include <utility>

namespace natgrad::c {

Context context_on(void* stream, Context::Options options) {
  return cuda_context(static_cast<cudaStream_t>(stream), std::move(options));
}

void set_stream(const Context& context, void* stream) {
  set_cuda_stream(context, static_cast<cudaStream_t>(stream));
}

}  // namespace natgrad::c
