#include "fisher/solver.hpp"

#include <algorithm>
#include <limits>

namespace natgrad::detail {

SolveBuffers::SolveBuffers(Carver& carver, const SolveShape& shape, const SystemBuffers& system,
                           std::int64_t work_bytes) {
  const ElementType type = shape.vectors();
  const Shape n{shape.rows, 1};
  const Shape p{shape.parameters, 1};
  narrow = carver.take(p, shape.type);
  direction = type == shape.type ? narrow : carver.take(p, type);
  if (shape.dual()) {
    const bool apart = shape.vectors() != shape.factorized() || shape.refined();
    rhs = apart ? carver.take(n, type) : system.rhs;
    solution = apart ? carver.take(n, type) : system.solution;
    product = apart ? carver.take(n, type) : system.product;
    residual = apart ? carver.take(n, type) : system.residual;
    if (shape.general) gradient = carver.take(p, type);
    if (shape.based && !shape.general) base_product = carver.take(n, type);
    if (shape.based && !shape.general && shape.refined()) base = carver.take(p, type);
    if (shape.centering != Centering::none) centre = carver.take(n, type);
  } else {
    gradient = system.rhs;
    product = system.product;
  }
  work.bytes = work_bytes;
  work.data = carver.take_bytes(work_bytes);
}

void Solver::apply(const ConstView& v, const View& z) const {
  backend_.apply(rows_, v, z, b_.work);
  if (shape_.centred()) backend_.project(b_.centre, z);
}

void Solver::adjoint(const View& y, double beta, const View& g) const {
  if (shape_.centred()) backend_.project(b_.centre, y);
  backend_.adjoint(rows_, y, beta, g, b_.work);
}

void Solver::load_centre(const ConstView& weights) const {
  if (b_.centre.empty()) return;
  if (weights.empty()) return backend_.copy(rows_.scale, b_.centre);
  backend_.row_scaling(weights, 0, {}, 1, b_.centre, b_.solution);
}

void Solver::gram() const {
  backend_.gram(rows_, system_.matrix, b_.work);
  if (b_.centre.empty()) return;
  backend_.symv(Triangle::lower, system_.matrix, b_.centre, system_.product);
  backend_.dot(b_.centre, b_.centre, field(&StepScalars::centre_square));
  backend_.dot(b_.centre, system_.product, field(&StepScalars::centre_moment));
  if (!shape_.centred()) return;
  backend_.project_matrix(Triangle::lower, b_.centre, system_.product, system_.matrix);
}

void Solver::factorize() const {
  damped_.factorize(std::min(shape_.rows, shape_.parameters), shape_.mean());
}

/// From `rhs` to `solution`; refined, also `direction` = S^T y and `product` = S S^T y.
void Solver::solve_dual() const {
  if (!shape_.refined()) return damped_.solve();
  backend_.dot(b_.rhs, b_.rhs, field(&StepScalars::rhs_square));
  backend_.copy(b_.rhs, system_.rhs);
  damped_.substitute();
  backend_.copy(system_.solution, b_.solution);
  refine();
}

/// y += (K + shift I)^-1 (r - S (S^T y) - shift y), the bracket from the rows in double. The last
/// bracket is the residual of what is returned.
void Solver::refine() const {
  for (int repeat = 0;; ++repeat) {
    adjoint(b_.solution, 0, b_.direction);
    apply(b_.direction, b_.product);
    backend_.residual(b_.rhs, b_.product, field(&StepScalars::shift), b_.solution, b_.residual,
                      field(&StepScalars::residual_square));
    if (repeat == shape_.refinement) break;
    // The residual is minus the bracket, and so is the correction.
    backend_.copy(b_.residual, system_.rhs);
    damped_.substitute();
    backend_.copy(system_.solution, b_.residual);
    backend_.axpby(-1.0, b_.residual, 1.0, b_.solution);
  }
}

void Solver::solve_rows(const ConstView& r, bool based) const {
  backend_.copy(r, b_.rhs);
  if (based) {
    apply(b_.direction, b_.base_product);
    backend_.axpby(-1.0, b_.base_product, 1.0, b_.rhs);
    if (shape_.refined()) backend_.copy(b_.direction, b_.base);
  }
  if (shape_.centred()) backend_.project(b_.centre, b_.rhs);
  solve_dual();
  if (!shape_.refined()) {
    adjoint(b_.solution, based ? 1 : 0, b_.direction);
  } else {
    backend_.dot(b_.direction, b_.direction, field(&StepScalars::direction_square));
    if (based) backend_.axpby(1.0, b_.base, 1.0, b_.direction);
  }
  // S d: S m and S S^T y, which the dual system knows as K y.
  if (based) backend_.axpby(1.0, b_.base_product, 1.0, b_.product);
  backend_.dot(b_.product, b_.product, field(&StepScalars::quadratic_form));
}

void Solver::solve_gradient() const {
  if (!shape_.dual()) {
    damped_.solve();
    backend_.copy(system_.solution, b_.direction);
    backend_.dot(system_.solution, system_.product, field(&StepScalars::quadratic_form));
    return;
  }
  backend_.dot(b_.gradient, b_.gradient, field(&StepScalars::gradient_square));
  apply(b_.gradient, b_.rhs);
  solve_dual();
  if (!shape_.refined()) adjoint(b_.solution, 0, b_.direction);
  backend_.axpby(1.0, b_.gradient, -1.0, b_.direction);
  backend_.axpby(0.0, b_.gradient, field(&StepScalars::inverse_shift), b_.direction);
  backend_.dot(b_.direction, b_.direction, field(&StepScalars::direction_square));
  // S d = t.
  backend_.copy(b_.solution, b_.product);
  backend_.dot(b_.solution, b_.solution, field(&StepScalars::quadratic_form));
}

void Solver::centre_fisher(const ConstView& r) const {
  backend_.dot(r, r, field(&StepScalars::centre_square));
  backend_.dot(r, b_.solution, field(&StepScalars::centre_product));
  backend_.dot(b_.solution, b_.solution, field(&StepScalars::solution_square));
  backend_.update_scalars(ScalarRule::centre_fisher, {}, scalars_);
  backend_.axpby(0.0, b_.direction, field(&StepScalars::centre_scale), b_.direction);
  backend_.axpby(field(&StepScalars::centre_shift), b_.solution, 0.0, b_.product);
  backend_.project(b_.centre, b_.product);
  backend_.dot(b_.product, b_.product, field(&StepScalars::quadratic_form));
}

void Solver::judge() const {
  const auto bound = [&] {
    if (!shape_.dual()) return BoundRule::primal;
    if (shape_.refined()) {
      if (shape_.general) return BoundRule::refined_general;
      return shape_.mean() == MeanRule::kept ? BoundRule::refined_centre : BoundRule::refined;
    }
    return shape_.general ? BoundRule::general : BoundRule::push_through;
  };
  constexpr double single = std::numeric_limits<float>::epsilon();
  const bool wide = shape_.vectors() == ElementType::float64;
  // An entry of K is a sum of products of up to four factors.
  const double narrow = shape_.mode == MathMode::tf32 ? 4 * tf32_epsilon : single;
  backend_.update_scalars(
      ScalarRule::judge_solve,
      {.epsilon = wide ? std::numeric_limits<double>::epsilon() : narrow,
       .bound = bound(),
       .mean = shape_.mean(),
       .rounding = wide && shape_.type == ElementType::float32 ? single / 2 : 0},
      scalars_);
}

}  // namespace natgrad::detail
