#include "curvature/curvature.hpp"

#include <cstddef>

namespace natgrad::detail {

void add_parameters(Backend& backend, std::span<const ParameterTensor> tensors, Scalar a,
                    const View& to) {
  if (a.is_constant() && a.constant() == 0) return;
  for (const ParameterTensor& tensor : tensors) {
    auto* start = static_cast<std::byte*>(to.data()) + tensor.offset * size_of(to.type());
    const Scalar own = a.is_constant() ? Scalar(a.constant() * tensor.l2) : a;
    backend.axpby(own, tensor.theta, 1.0,
                  View(start, to.type(), tensor.theta.shape(), {.device = to.device()}));
  }
}

void add_start(Backend& backend, const BatchShape& shape, const RightHandSide& rhs,
               const View& solve, const View& element, const View& b) {
  if (!rhs.previous.empty()) {
    backend.evaluate(formulas::SpringShift{
        .solve = address<SolveScalars>(solve), .decay = rhs.decay, .factor = element.as<double>()});
    backend.axpby(element, rhs.previous, 1.0, b);
  }
  add_parameters(backend, shape.tensors, -shape.l2, b);
}

void judge_direction(Backend& backend, Curvature& curvature, const View& step, const View& solve) {
  curvature.judge();
  // With nothing kept of theta, the new parameters that `check_update` looks at are the direction
  // itself.
  const View& d = curvature.direction();
  const View finite = scalar(step, &StepScalars::finite);
  backend.fill(1, finite);
  const UpdatedTensor itself{d, d};
  backend.check_update({&itself, 1}, 1.0, 1.0, finite);
  backend.copy(curvature.scalars(), solve);
  backend.evaluate(formulas::JudgeDirection{.solve = address<SolveScalars>(solve),
                                            .step = address<StepScalars>(step)});
}

}  // namespace natgrad::detail
