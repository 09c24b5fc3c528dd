#include "curvature/sample_space.hpp"

#include "core/context_state.hpp"

#include <algorithm>
#include <limits>

namespace natgrad::detail {

SampleSpace::SampleSpace(const Context& context, const CurvatureOptions& options)
    : context_(context),
      backend_(context.state().backend()),
      options_(options),
      mode_(backend_.math_mode(options.allow_tf32)),
      cholesky_(backend_),
      fisher_(context, store_, options_),
      squares_(backend_, options_),
      units_(backend_, options_.scaling, options_.type),
      scaled_rows_(backend_) {}

ElementType SampleSpace::gram_type() const {
  if (shape_.centering != Centering::none) return ElementType::float64;
  return options_.gram_type.value_or(options_.type);
}

ElementType SampleSpace::vector_type() const {
  return refined() ? ElementType::float64 : gram_type();
}

MeanRule SampleSpace::mean_rule() const {
  if (shape_.centering == Centering::none) return MeanRule::none;
  return centred() ? MeanRule::removed : MeanRule::kept;
}

const CenteringScalars* SampleSpace::centering() const {
  return address<CenteringScalars>(centering_);
}

RowBatch SampleSpace::rows() const {
  RowBatch rows = shape_.phase == Phase::whole ? viewed_ : store_.blocks();
  rows.mode = mode_;
  return rows;
}

void SampleSpace::reserve(const BatchShape& shape) {
  store_.reserve(context_, shape.uses, shape.batch_rows, options_.type);
}

std::int64_t SampleSpace::reserved_bytes(const BatchShape& shape) const {
  Carver count;
  const StoreBuffers counted(count, shape.uses, shape.batch_rows, options_.type);
  return count.bytes();
}

void SampleSpace::layout(const CurvatureMemory& memory, const BatchShape& shape) {
  shape_ = shape;
  shape_.uses = {};  // of this call alone
  roots_loaded_ = false;
  if (shape.phase == Phase::part) return;
  const bool centered = shape.centering != Centering::none;
  const Shape n{shape.batch_rows, 1};
  const Shape p{shape.parameters, 1};
  cholesky_.layout(memory.system, n.rows, gram_type());
  centering_ = centered ? take_scalars<CenteringScalars>(memory.system) : View();
  memory.system.item("K (N, N) and its factor");
  // Of the rows there are; a plan knows their shapes alone.
  const bool stored = shape.phase == Phase::finish && store_.size() > 0;
  const std::span<const LayerUse> uses = stored ? store_.blocks().blocks : shape.uses;
  if (scaled()) lay_out_units(memory, uses);

  Carver& scratch = memory.scratch;
  const ElementType type = vector_type();
  const bool starts = !shape.gradient_given && (shape.has_previous || shape.l2 > 0);
  const bool separate = type != gram_type() || refined();
  result_ = scratch.take(p, options_.type);
  direction_ = type == options_.type ? result_ : scratch.take(p, type);
  rhs_ = separate ? scratch.take(n, type) : cholesky_.rhs();
  solution_ = separate ? scratch.take(n, type) : cholesky_.solution();
  product_ = separate ? scratch.take(n, type) : cholesky_.product();
  residual_ = separate ? scratch.take(n, type) : cholesky_.residual();
  gradient_ = shape.gradient_given ? scratch.take(p, type) : View();
  start_product_ = starts ? scratch.take(n, type) : View();
  start_ = starts && refined() ? scratch.take(p, type) : View();
  roots_ = centered ? scratch.take(n, type) : View();
  given_rhs_ = shape.coefficients_given ? scratch.take(n, ElementType::float64) : View();
  unused_ = shape.coefficients_given ? scratch.take(n, ElementType::float64) : View();
  scalar_ = scratch.take({1, 1}, ElementType::float64);
  measured_ = shape.measures ? scratch.take(p, ElementType::float64) : View();
  measured_product_ = shape.measures ? scratch.take(n, ElementType::float64) : View();
  const auto work = [&](ElementType result) {
    return backend_.rows_scratch(uses, shape.batch_rows, options_.type, result);
  };
  work_.bytes = std::max(work(gram_type()), work(type));
  if (scaled() && gram_type() != options_.type) {
    const std::int64_t of_copies =
        backend_.rows_scratch(uses, shape.batch_rows, gram_type(), gram_type());
    work_.bytes = std::max(work_.bytes, of_copies);
  }
  if (shape.measures) work_.bytes = std::max(work_.bytes, work(ElementType::float64));
  work_.data = scratch.take_bytes(work_.bytes);
  scratch.item("vectors of the solve, scratch of products with the rows");
}

/// What a later solve of the same factorization reads lasts with it.
void SampleSpace::lay_out_units(const CurvatureMemory& memory, std::span<const LayerUse> uses) {
  units_.layout(memory.system, shape_, vector_type());
  scaled_rows_.layout(memory.system, uses, options_.type, gram_type(),
                      units_.by_parameter() ? shape_.parameters : 0);
  memory.system.item("units of the damping, rows in these units");
  unscaled_ = memory.scratch.take({shape_.parameters, 1}, vector_type());
  if (options_.scaling == DampingScaling::identity) return;
  squares_.layout(memory.scratch, shape_, uses, shape_.batch_rows);
}

void SampleSpace::accumulate(const RowInput& rows, Lifetime lifetime) {
  assembled_ = false;
  if (lifetime == Lifetime::copied) {
    store_.append(rows.set, rows.uses, shape_.batch_rows);
    return;
  }
  viewed_ = rows.set.with_uses(rows.uses);
  viewed_rhs_ = rows.set.rhs();
}

void SampleSpace::forget() {
  store_.clear();
  viewed_ = {};
  assembled_ = false;
}

/// u. The rows' common factor does not matter: of one set sqrt(w_n) is its scale.
void SampleSpace::load_roots() {
  if (roots_.empty() || roots_loaded_) return;
  roots_loaded_ = true;
  if (shape_.phase == Phase::whole) return backend_.copy(viewed_.scale, roots_);
  backend_.row_scaling(store_.weights(), 0, {}, 0.0, 1, roots_, solution_);
}

/// z = S v, of centred rows where asked for, v in the units of the system.
void SampleSpace::multiply(const ConstView& v, const View& z) {
  if (scaled()) {
    backend_.copy(v, unscaled_);
    units_.from_units(unscaled_);
    backend_.apply(rows(), unscaled_, z, work_);
  } else {
    backend_.apply(rows(), v, z, work_);
  }
  if (centred()) backend_.project(roots_, z);
}

/// g = S^T y + beta g in the units of the system; centres y in place.
void SampleSpace::adjoint(const View& y, double beta, const View& g) {
  if (centred()) backend_.project(roots_, y);
  if (!scaled()) return backend_.adjoint(rows(), y, beta, g, work_);
  backend_.adjoint(rows(), y, 0, unscaled_, work_);
  units_.from_units(unscaled_);
  backend_.axpby(1.0, unscaled_, beta, g);
}

/// D of the rows, and the rows in these units.
void SampleSpace::load_units() {
  if (options_.scaling != DampingScaling::identity) squares_.load(rows(), shape_, units_);
  units_.finish(shape_, damping_, shape_.l2_by_tensor);
  scaled_rows_.load(rows(), shape_, units_);
}

/// K, of centred rows where asked for.
void SampleSpace::assemble() {
  load_roots();
  if (assembled_) return;
  const View& K = cholesky_.matrix();
  if (scaled()) load_units();
  backend_.gram(scaled() ? scaled_rows_.rows(rows()) : rows(), K, work_);
  if (!roots_.empty()) {
    backend_.fill(0, centering_);
    backend_.symv(Triangle::lower, K, roots_, cholesky_.product());
    backend_.dot(roots_, roots_, of_centering(&CenteringScalars::weight));
    backend_.dot(roots_, cholesky_.product(), of_centering(&CenteringScalars::moment));
    if (centred()) {
      backend_.project_matrix(Triangle::lower, roots_, cholesky_.product(), K);
    }
  }
  assembled_ = true;
}

void SampleSpace::factorize(const DampingState* damping) {
  damping_ = damping;
  if (shape_.l2_by_tensor) assembled_ = false;  // lambda stands in the units
  assemble();
  const auto rank = static_cast<double>(std::min(shape_.batch_rows, shape_.parameters));
  cholesky_.factorize(damping, rank, mean_rule(), centering());
  if (!shape_.damped) cholesky_.estimate_inverse();
}

/// From `rhs_` to `solution_` and `product_` = S S^T y; refined, also `direction_` = S^T y.
void SampleSpace::solve_system() {
  if (!refined()) return cholesky_.solve();
  backend_.dot(rhs_, rhs_, field(&SolveScalars::rhs_square));
  backend_.copy(rhs_, cholesky_.rhs());
  cholesky_.substitute();
  backend_.copy(cholesky_.solution(), solution_);
  refine();
}

/// y += (K + shift I)^-1 (r - S (S^T y) - shift y), the bracket from the rows in double. The last
/// bracket is the residual of what is returned.
void SampleSpace::refine() {
  for (int repeat = 0;; ++repeat) {
    adjoint(solution_, 0, direction_);
    multiply(direction_, product_);
    const auto square = repeat == 0 && options_.refinement > 0 ? &SolveScalars::unrefined_square
                                                               : &SolveScalars::residual_square;
    backend_.residual(rhs_, product_, field(&SolveScalars::shift), solution_, residual_,
                      field(square));
    if (repeat == options_.refinement) break;
    // The residual is minus the bracket, and so is the correction.
    backend_.copy(residual_, cholesky_.rhs());
    cholesky_.substitute();
    backend_.copy(cholesky_.solution(), residual_);
    backend_.axpby(-1.0, residual_, 1.0, solution_);
  }
}

/// m = decay previous - (eta / shift) theta, to `direction_`, in the units of the system.
void SampleSpace::load_start(const RightHandSide& rhs) {
  if (rhs.previous.empty()) {
    backend_.fill(0, direction_);
  } else {
    backend_.axpby(rhs.decay, rhs.previous, 0.0, direction_);
  }
  if (scaled()) {
    if (shape_.l2_by_tensor) units_.pull_to_zero(shape_, direction_);
    return units_.to_units(direction_);
  }
  if (shape_.l2 == 0) return;
  backend_.evaluate(formulas::PullToZero{.solve = address<SolveScalars>(scalars()),
                                         .damping = damping_,
                                         .factor = scalar_.as<double>()});
  add_parameters(backend_, shape_.tensors, scalar_, direction_);
}

/// r of coefficients less their mean, and 0 where they are all equal.
void SampleSpace::center_coefficients() {
  const View before = of_centering(&CenteringScalars::coefficients);
  const View after = of_centering(&CenteringScalars::shift);
  backend_.dot(rhs_, rhs_, before);
  backend_.project(roots_, rhs_);
  backend_.dot(rhs_, rhs_, after);
  constexpr double few = 64;
  backend_.evaluate(formulas::DropRounding{.before = before.as<double>(),
                                           .after = after.as<double>(),
                                           .level = few * std::numeric_limits<double>::epsilon(),
                                           .factor = scalar_.as<double>()});
  backend_.axpby(0.0, rhs_, scalar_, rhs_);
}

void SampleSpace::push_through(const RightHandSide& rhs) {
  const bool starts = !start_product_.empty();
  ConstView r = shape_.phase == Phase::whole ? viewed_rhs_ : store_.rhs();
  if (!rhs.coefficients.empty()) {
    backend_.row_scaling(store_.weights(), 0, rhs.coefficients, 0.0, 1, unused_, given_rhs_);
    r = given_rhs_;
  }
  if (starts) load_start(rhs);
  backend_.copy(r, rhs_);
  if (starts) {
    multiply(direction_, start_product_);
    backend_.axpby(-1.0, start_product_, 1.0, rhs_);
    if (refined()) backend_.copy(direction_, start_);
  }
  if (centred()) center_coefficients();
  solve_system();
  if (!refined()) {
    backend_.dot(solution_, solution_, field(&SolveScalars::solution_square));
    adjoint(solution_, starts ? 1 : 0, direction_);
    backend_.dot(direction_, direction_, field(&SolveScalars::direction_square));
  } else {
    backend_.dot(direction_, direction_, field(&SolveScalars::direction_square));
    if (starts) backend_.axpby(1.0, start_, 1.0, direction_);
  }
  // S d: S m and S S^T y, which the system knows as K y.
  if (starts) backend_.axpby(1.0, start_product_, 1.0, product_);
  backend_.dot(product_, product_, field(&SolveScalars::quadratic_form));
  if (shape_.centering == Centering::fisher_only) center_fisher(r);
}

/// g + shift m in the units of the system, to `gradient_`.
void SampleSpace::load_scaled_gradient(const RightHandSide& rhs) {
  if (shape_.l2_by_tensor) add_parameters(backend_, shape_.tensors, -shape_.l2, gradient_);
  units_.from_units(gradient_);
  if (rhs.previous.empty()) return;
  backend_.copy(rhs.previous, direction_);
  units_.to_units(direction_);
  backend_.evaluate(formulas::SpringShift{.solve = address<SolveScalars>(scalars()),
                                          .decay = rhs.decay,
                                          .factor = scalar_.as<double>()});
  backend_.axpby(scalar_, direction_, 1.0, gradient_);
}

void SampleSpace::solve_gradient(const RightHandSide& rhs) {
  if (scaled()) {
    load_scaled_gradient(rhs);
  } else {
    add_start(backend_, shape_, rhs, scalars(), scalar_, gradient_);
  }
  backend_.dot(gradient_, gradient_, field(&SolveScalars::gradient_square));
  multiply(gradient_, rhs_);
  solve_system();
  if (!refined()) adjoint(solution_, 0, direction_);
  backend_.axpby(1.0, gradient_, -1.0, direction_);
  backend_.axpby(0.0, gradient_, field(&SolveScalars::inverse_shift), direction_);
  backend_.dot(direction_, direction_, field(&SolveScalars::direction_square));
  // S d = t.
  backend_.copy(solution_, product_);
  backend_.dot(solution_, solution_, field(&SolveScalars::quadratic_form));
  backend_.dot(solution_, solution_, field(&SolveScalars::solution_square));
}

/// Turns d of maximum likelihood, r = u, into that of the centred Fisher matrix.
void SampleSpace::center_fisher(const ConstView& r) {
  backend_.dot(r, r, of_centering(&CenteringScalars::weight));
  backend_.dot(r, solution_, of_centering(&CenteringScalars::coefficients));
  backend_.dot(solution_, solution_, field(&SolveScalars::solution_square));
  backend_.evaluate(formulas::CenterFisher{.solve = address<SolveScalars>(scalars()),
                                           .centering = address<CenteringScalars>(centering_)});
  backend_.axpby(0.0, direction_, of_centering(&CenteringScalars::scale), direction_);
  backend_.axpby(of_centering(&CenteringScalars::shift), solution_, 0.0, product_);
  backend_.project(roots_, product_);
  backend_.dot(product_, product_, field(&SolveScalars::quadratic_form));
}

void SampleSpace::solve(const RightHandSide& rhs) {
  load_roots();
  if (shape_.gradient_given) {
    solve_gradient(rhs);
  } else {
    push_through(rhs);
  }
  if (scaled()) units_.from_units(direction_);
  if (direction_.data() != result_.data()) backend_.copy(direction_, result_);
  if (shape_.bounds_form) store_length(result_);
}

void SampleSpace::multiply_direction(const View& product) { backend_.copy(product_, product); }

void SampleSpace::solve_again(const ConstView& r, const View& x) {
  backend_.copy(r, cholesky_.rhs());
  cholesky_.substitute();
  if (solution_.data() != cholesky_.solution().data()) {
    backend_.copy(cholesky_.solution(), solution_);
  }
  // The direction that was handed out stays: of another type it stands elsewhere.
  const bool in_place = direction_.data() == result_.data();
  const View& sum = in_place ? x : direction_;
  adjoint(solution_, 0, sum);
  if (scaled()) units_.from_units(sum);
  if (!in_place) backend_.copy(sum, x);
}

void SampleSpace::measure(const ConstView& v) {
  fisher().quadratic_form(v, field(&SolveScalars::quadratic_form));
  if (shape_.bounds_form) store_length(v);
}

const FisherOperator& SampleSpace::fisher() {
  load_roots();
  fisher_.use({.rows = rows(),
               .roots = roots_,
               .vector = measured_,
               .product = measured_product_,
               .work = work_},
              shape_);
  return fisher_;
}

void SampleSpace::store_length(const ConstView& d) {
  if (scaled()) {
    backend_.copy(d, unscaled_);
    units_.to_units(unscaled_);
    return backend_.dot(unscaled_, unscaled_, field(&SolveScalars::stored_square));
  }
  backend_.dot(d, d, field(&SolveScalars::stored_square));
}

BoundRule SampleSpace::bound() const {
  if (!refined()) {
    return shape_.gradient_given ? BoundRule::any_gradient : BoundRule::push_through;
  }
  if (shape_.gradient_given) return BoundRule::refined_any_gradient;
  return mean_rule() == MeanRule::kept ? BoundRule::refined_fisher_only : BoundRule::refined;
}

void SampleSpace::judge() {
  constexpr double single = std::numeric_limits<float>::epsilon();
  const bool in_double = vector_type() == ElementType::float64;
  // An entry of K is a sum of products of up to four factors.
  const double rounded = mode_ == MathMode::tf32 ? 4 * tf32_epsilon : single;
  backend_.evaluate(formulas::JudgeSolve{
      .solve = address<SolveScalars>(scalars()),
      .centering = centering(),
      .bound = bound(),
      .mean = mean_rule(),
      .size = static_cast<double>(shape_.batch_rows),
      .epsilon = in_double ? std::numeric_limits<double>::epsilon() : rounded,
      .rounding = in_double && options_.type == ElementType::float32 ? single / 2 : 0,
      .storage = half_epsilon(options_.type),
      .scalar_epsilon = cholesky_.epsilon(),
      .starts = !start_product_.empty()});
}

}  // namespace natgrad::detail
