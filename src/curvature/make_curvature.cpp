#include "curvature/exact.hpp"

namespace natgrad::detail {

std::unique_ptr<Curvature> make_curvature(const Context& context, const CurvatureOptions& options) {
  return std::make_unique<ExactCurvature>(context, options);
}

}  // namespace natgrad::detail
