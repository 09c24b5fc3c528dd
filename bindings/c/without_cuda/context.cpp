#include "bindings/c/context.hpp"

#include <utility>

namespace natgrad::c {

// That one says what is missing.
Context context_on(void*, Context::Options options) { return Context::cuda(std::move(options)); }

}  // namespace natgrad::c
