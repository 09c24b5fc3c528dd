#include "curvature/parameter_space.hpp"

#include <algorithm>
#include <limits>

namespace natgrad::detail {

void ParameterSpace::layout(const CurvatureMemory& memory, const BatchShape& shape) {
  shape_ = shape;
  shape_.uses = {};  // of this call alone
  const Shape p{shape.parameters, 1};
  Carver& lasting = shape.phase == Phase::whole ? memory.system : memory.kept;
  cholesky_.layout(lasting, shape.parameters, real);
  gradient_sum_ = lasting.take(p, real);
  mean_.lay_out_nothing();
  if (centred()) mean_.lay_out_sums(lasting, shape.parameters);
  lasting.item("F (P, P) and its factor");
  if (scaled()) units_.layout(lasting, shape, real);
  penalty_ = shape.l2_by_tensor ? lasting.take(p, real) : View();
  cholesky_.use_extra(penalty_);
  lasting.item("units of the damping, penalty");

  Carver& scratch = memory.scratch;
  std::int64_t work = 0;
  if (shape.phase != Phase::finish) {
    tile_ = scratch.take({std::min(options_.tile_rows, shape.rows), shape.parameters}, real);
    scratch.item("rows materialized at a time");
    if (centred()) mean_.lay_out_rows(scratch, shape.rows);
    work = backend_.rows_scratch(shape.uses, shape.rows, options_.type, real);
  }
  if (shape.phase != Phase::part) {
    result_ = scratch.take(p, options_.type);
    scratch_ = scratch.take(p, real);
    const bool at_hand = shape.phase == Phase::whole && (shape.gradient_given || shape.measures ||
                                                         shape.centering == Centering::fisher_only);
    if (shape.inverts) {
      tile_ =
          scratch.take({std::min(options_.tile_rows, shape.parameters), shape.parameters}, real);
    }
    product_ = at_hand ? scratch.take({shape.rows, 1}, real) : View();
    lay_out_several(scratch);
  }
  work_ = {.data = scratch.take_bytes(work), .bytes = work};
  scratch.item("vectors of the solve, scratch of products with the rows");
  if (shape.phase == Phase::whole) {
    rows_ = 0;
    mean_removed_ = false;
    in_units_ = false;
  }
}

void ParameterSpace::lay_out_several(Carver& scratch) {
  solutions_ = products_ = square_ = {};
  if (shape_.gradients < 2) return;
  constexpr std::int64_t block = 256;
  const std::int64_t P = shape_.parameters;
  const Shape several{std::min(options_.tile_rows, shape_.gradients), P};
  solutions_ = scratch.take(several, real);
  products_ = scratch.take(several, real);
  square_ = scratch.take({std::min(block, P), std::min(block, P)}, real);
}

MeanRule ParameterSpace::mean_rule() const {
  return centred() ? MeanRule::removed : MeanRule::none;
}

void ParameterSpace::forget() {
  rows_ = 0;
  mean_removed_ = false;
  in_units_ = false;
  viewed_ = {};
}

/// The batch's first row, which all others are taken relative to.
void ParameterSpace::load_first_row(const RowInput& rows) {
  const View& scale = mean_.element();
  backend_.fill(rows.set.set().scale, scale);
  const View row(mean_.first_row().as<double>(), {1, shape_.parameters},
                 {.device = mean_.first_row().device()});
  backend_.materialize({rows.uses, scale}, 0, row);
  mean_.first_row_is_there();
}

void ParameterSpace::accumulate_tile(const RowBatch& batch, std::int64_t first, double beta) {
  const std::int64_t count = std::min(tile_.rows(), batch.rows() - first);
  const View part = tile_.row_range(0, count);
  backend_.materialize(batch, first, part);
  if (centred()) {
    const View u = mean_.roots().row_range(first, count);
    const ConstView row(mean_.first_row().as<double>(), {1, shape_.parameters},
                        {.device = part.device()});
    backend_.gemm(Transpose::no, Transpose::no, -1, u, row, 1, part);
    backend_.gemm(Transpose::yes, Transpose::no, 1, part, u, beta, mean_.sum());
    if (shape_.centering == Centering::rows) {
      backend_.gemm(Transpose::yes, Transpose::no, 1, part, mean_.rhs().row_range(first, count),
                    beta, gradient_sum_);
    }
  }
  backend_.syrk(Triangle::lower, Transpose::yes, 1, part, beta, cholesky_.matrix());
}

void ParameterSpace::accumulate(const RowInput& rows, Lifetime lifetime) {
  leave_units();
  if (mean_removed_) {
    mean_.scale(cholesky_.residual());
    backend_.syrk(Triangle::lower, Transpose::no, 1, cholesky_.residual(), 1, cholesky_.matrix());
    mean_removed_ = false;
  }
  const RowBatch batch = rows.set.with_uses(rows.uses);
  const double beta = rows_ == 0 ? 0 : 1;
  if (shape_.centering != Centering::rows) {
    backend_.adjoint(batch, rows.set.rhs(), beta, gradient_sum_, work_);
  }
  if (centred()) {
    mean_.load(rows.set, rows_ == 0);
    if (rows_ == 0) load_first_row(rows);
  }
  for (std::int64_t first = 0; first < batch.rows(); first += tile_.rows()) {
    accumulate_tile(batch, first, first == 0 ? beta : 1);
  }
  rows_ += batch.rows();
  viewed_ = lifetime == Lifetime::borrowed ? rows.uses : std::span<const LayerUse>();
  viewed_scale_ = rows.set.scale();
}

/// F of the rows so far, centred, in the lower triangle. (P, P) float64.
const View& ParameterSpace::centred_matrix() {
  if (centred() && !mean_removed_) {
    const View& scratch = cholesky_.residual();
    mean_.scale(scratch);
    // Last: whoever fails before finds F as it was.
    backend_.syrk(Triangle::lower, Transpose::no, -1, scratch, 1, cholesky_.matrix());
    mean_removed_ = true;
  }
  return cholesky_.matrix();
}

/// D of F as it stands. Of float rows a diagonal is as exact as the rows.
void ParameterSpace::load_units() {
  const View diagonal = diagonal_of(cholesky_.matrix());
  if (units_.by_parameter()) {
    backend_.copy(diagonal, units_.diagonal());
  } else {
    backend_.copy(diagonal, scratch_);
    for (std::size_t i = 0; i < shape_.tensors.size(); ++i) {
      const ParameterTensor& tensor = shape_.tensors[i];
      const std::int64_t size = tensor.theta.size();
      backend_.column_sums(1 / static_cast<double>(size), scratch_.row_range(tensor.offset, size),
                           units_.mean(i));
    }
  }
  units_.finish(shape_, nullptr, false);
}

void ParameterSpace::enter_units() {
  if (!scaled() || in_units_) return;
  backend_.scale_symmetric(Triangle::lower, units_.inverse_roots(), cholesky_.matrix());
  in_units_ = true;
}

void ParameterSpace::leave_units() {
  if (!in_units_) return;
  backend_.scale_symmetric(Triangle::lower, units_.roots(), cholesky_.matrix());
  in_units_ = false;
}

/// eta E as the system takes it, D^-1/2 eta E D^-1/2.
void ParameterSpace::load_penalty_in_units() {
  if (penalty_.empty()) return;
  load_penalty(backend_, shape_, penalty_);
  if (!scaled()) return;
  units_.from_units(penalty_);
  units_.from_units(penalty_);
}

const FisherOperator& ParameterSpace::fisher() {
  leave_units();
  fisher_.use(
      {.F = centred_matrix(), .rows = rows_, .vector = scratch_, .product = cholesky_.product()});
  return fisher_;
}

void ParameterSpace::factorize(const DampingState* damping) {
  leave_units();
  centred_matrix();
  if (scaled()) {
    load_units();
    enter_units();
  }
  load_penalty_in_units();
  const auto rank = static_cast<double>(std::min(shape_.batch_rows, shape_.parameters));
  cholesky_.factorize(damping, rank, mean_rule(), mean_.scalars());
  if (!shape_.damped) cholesky_.estimate_inverse();
}

/// g = S^T r of the rows to the right-hand side, of centred rows where asked for.
void ParameterSpace::finish_gradient() {
  backend_.copy(gradient_sum_, cholesky_.rhs());
  if (shape_.centering != Centering::rows) return;
  mean_.scale(scratch_);
  mean_.remove_from(cholesky_.rhs(), scratch_);
}

/// b += (shift + eta E) m in the units, for the m that `add_start` takes.
void ParameterSpace::add_start_in_units(const RightHandSide& rhs) {
  const View& b = cholesky_.rhs();
  add_parameters(backend_, shape_.tensors, -shape_.l2, b);
  if (scaled()) units_.from_units(b);
  if (rhs.previous.empty()) return;
  const View& previous = scratch_;
  backend_.copy(rhs.previous, previous);
  if (scaled()) units_.to_units(previous);
  const View element = cholesky_.residual().row_range(0, 1);
  backend_.evaluate(formulas::SpringShift{.solve = address<SolveScalars>(scalars()),
                                          .decay = rhs.decay,
                                          .factor = element.as<double>()});
  backend_.axpby(element, previous, 1.0, b);
  if (penalty_.empty()) return;
  backend_.multiply(penalty_, previous, previous);
  backend_.axpby(rhs.decay, previous, 1.0, b);
}

/// The systems of gradients that have no start: m = 0 of a matrix that takes no steps.
void ParameterSpace::substitute(const ConstView& gradients, double scale) {
  enter_units();
  const View x = solutions_.row_range(0, gradients.rows());
  for (std::int64_t i = 0; i < x.rows(); ++i) {
    const View b = row_as_column(x, i);
    backend_.axpby(scale, row_as_column(gradients, i), 0.0, b);
    if (scaled()) units_.from_units(b);
  }
  cholesky_.substitute_rows(x);
  cholesky_.multiply_rows(x, square_, products_.row_range(0, x.rows()));
}

void ParameterSpace::solve(const RightHandSide& rhs) {
  enter_units();
  if (!shape_.gradient_given) finish_gradient();
  const View& b = cholesky_.rhs();
  if (scaled() || shape_.l2_by_tensor) {
    add_start_in_units(rhs);
  } else {
    add_start(backend_, shape_, rhs, scalars(), scratch_.row_range(0, 1), b);
  }
  if (rhs.substituted < 0) {
    cholesky_.solve();
  } else {
    cholesky_.solve_known(row_as_column(solutions_, rhs.substituted),
                          row_as_column(products_, rhs.substituted));
  }
  ConstView d = cholesky_.solution();
  if (scaled()) {
    backend_.copy(d, scratch_);
    units_.from_units(scratch_);
    d = scratch_;
  }
  backend_.copy(d, result_);
  backend_.dot(cholesky_.solution(), cholesky_.product(),
               cholesky_.field(&SolveScalars::quadratic_form));
  backend_.dot(cholesky_.solution(), cholesky_.solution(),
               cholesky_.field(&SolveScalars::direction_square));
  // Such a gradient is not in the space of the matrix's rows.
  const bool outside = shape_.gradient_given || shape_.centering == Centering::fisher_only;
  if (outside) measure_from_rows(d);
  if (shape_.bounds_form) store_square(result_, &SolveScalars::stored_square);
}

/// v^T F v of a v that is mostly outside the rows' space cancels: |S v|^2 from rows at hand does
/// not, and of rows that are gone the rounding is stated.
void ParameterSpace::measure_from_rows(const ConstView& v) {
  if (viewed_.empty()) return;
  backend_.apply({viewed_, viewed_scale_}, v, product_, work_);
  if (centred()) backend_.project(mean_.roots(), product_);
  backend_.dot(product_, product_, cholesky_.field(&SolveScalars::quadratic_form));
  backend_.fill(0, cholesky_.field(&SolveScalars::direction_square));
}

void ParameterSpace::multiply_direction(const View& product) {
  backend_.copy(result_, scratch_);
  backend_.apply({viewed_, viewed_scale_}, scratch_, product, work_);
}

void ParameterSpace::solve_again(const ConstView& r, const View& x) {
  backend_.adjoint({viewed_, viewed_scale_}, r, 0, cholesky_.rhs(), work_);
  if (scaled()) units_.from_units(cholesky_.rhs());
  cholesky_.substitute();
  backend_.copy(cholesky_.solution(), scratch_);
  if (scaled()) units_.from_units(scratch_);
  backend_.copy(scratch_, x);
}

void ParameterSpace::measure(const ConstView& v) {
  // It leaves v in double in `scratch_`.
  fisher().quadratic_form(v, cholesky_.field(&SolveScalars::quadratic_form));
  store_square(scratch_, &SolveScalars::direction_square);
  measure_from_rows(scratch_);
  if (shape_.bounds_form) store_square(v, &SolveScalars::stored_square);
}

/// Columns of the inverse, some at a time, from the factor.
Outcome ParameterSpace::inverse_diagonal(const DampingState* damping, Eigensystem&,
                                         const View& diagonal) {
  factorize(damping);
  backend_.fill(0, cholesky_.rhs());  // any right-hand side that is finite tells of the factor
  solve({});
  judge();
  const Outcome outcome = judged_outcome(backend_, *this);
  if (outcome != Outcome::accepted) return outcome;
  for (std::int64_t first = 0; first < shape_.parameters; first += tile_.rows()) {
    const std::int64_t count = std::min(tile_.rows(), shape_.parameters - first);
    const View columns = tile_.row_range(0, count);
    const View own(tile_.as<double>() + first, {count, 1},
                   {.leading_dimension = tile_.leading_dimension() + 1, .device = tile_.device()});
    backend_.fill(0, columns);
    backend_.fill(1, own);
    cholesky_.substitute_rows(columns);
    backend_.copy(own, diagonal.row_range(first, count));
  }
  return outcome;
}

/// |d|^2 in the units of the system.
void ParameterSpace::store_square(const ConstView& d, double SolveScalars::*to) {
  if (!scaled()) return backend_.dot(d, d, cholesky_.field(to));
  const View& scaled = cholesky_.residual();
  backend_.copy(d, scaled);
  units_.to_units(scaled);
  backend_.dot(scaled, scaled, cholesky_.field(to));
}

void ParameterSpace::judge() {
  const bool rounds = options_.type == ElementType::float32;
  backend_.evaluate(
      formulas::JudgeSolve{.solve = address<SolveScalars>(scalars()),
                           .centering = mean_.scalars(),
                           .bound = BoundRule::parameter_space,
                           .mean = mean_rule(),
                           .size = static_cast<double>(shape_.parameters),
                           .epsilon = std::numeric_limits<double>::epsilon(),
                           .rounding = rounds ? std::numeric_limits<float>::epsilon() / 2.0 : 0,
                           .storage = half_epsilon(options_.type),
                           .scalar_epsilon = std::numeric_limits<double>::epsilon()});
}

}  // namespace natgrad::detail
