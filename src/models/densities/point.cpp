#include "models/densities/point.hpp"

#include "core/context_state.hpp"
#include "kernels/formulas/densities/scalars.hpp"

namespace natgrad {

DensityPoint::DensityPoint(const Context& context, const DensityModel& model)
    : model_(model),
      backend_(context.state().backend()),
      theta_(context.array({model.sizes.parameters, 1}, ElementType::float64)),
      prepared_(context.array({model.sizes.prepared, 1}, ElementType::float64)) {}

void DensityPoint::set(const ConstView& theta) {
  backend_.copy(theta, theta_);
  const DensityAt now = at();
  backend_.evaluate(formulas::PrepareDensity{.family = model_.family,
                                             .shape = now.shape,
                                             .constants = now.constants,
                                             .theta = now.theta,
                                             .prepared = prepared_.view().as<double>()});
}

DensityAt DensityPoint::at() const {
  return {.shape = model_.shape,
          .constants = model_.constants.empty() ? nullptr : model_.constants.as<double>(),
          .theta = theta_.view().as<double>(),
          .prepared = prepared_.view().as<double>()};
}

void DensityPoint::count(const formulas::DensitySizes& sizes, ByteCount& bytes) {
  bytes.add(sizes.parameters, 1, size_of(ElementType::float64));
  bytes.add(sizes.prepared, 1, size_of(ElementType::float64));
}

}  // namespace natgrad
