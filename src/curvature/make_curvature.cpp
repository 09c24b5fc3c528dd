#include "core/context_state.hpp"
#include "curvature/block_diagonal.hpp"
#include "curvature/diagonal.hpp"
#include "curvature/exact.hpp"

namespace natgrad::detail {

std::unique_ptr<Curvature> make_curvature(const Context& context, const CurvatureOptions& options) {
  switch (options.structure) {
    case Structure::block_diagonal:
      return std::make_unique<BlockDiagonalCurvature>(context, options);
    case Structure::diagonal:
      return std::make_unique<DiagonalCurvature>(context.state().backend(), options);
    case Structure::full:
      break;
  }
  return std::make_unique<ExactCurvature>(context, options);
}

}  // namespace natgrad::detail
