#include "bindings/c/context.hpp"

#include "natgrad/error.hpp"

#include <utility>

namespace natgrad::c {

// That one says what is missing.
Context context_on(void*, Context::Options options) { return Context::cuda(std::move(options)); }

void set_stream(const Context&, void*) {
  throw DeviceError("context: this build of natgrad has no CUDA backend, and no streams");
}

}  // namespace natgrad::c
