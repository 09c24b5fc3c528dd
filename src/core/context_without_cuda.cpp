// A build without CUDA: src/backend/cuda/context.cpp is the other one.

#include "natgrad/context.hpp"
#include "natgrad/error.hpp"

#include <utility>

namespace natgrad {

Context Context::cuda(Options) {
  throw DeviceError("context: this build of natgrad has no CUDA backend");
}

Context Context::best(Options options) { return cpu(std::move(options)); }

}  // namespace natgrad
