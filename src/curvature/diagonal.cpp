#include "curvature/diagonal.hpp"

#include "curvature/damping_units.hpp"
#include "curvature/squared_factors.hpp"

#include <algorithm>
#include <cstddef>
#include <limits>
#include <vector>

namespace natgrad::detail {

namespace {

constexpr double epsilon = std::numeric_limits<double>::epsilon();

// Numbers of rows that are materialized at a time: 8 MiB.
constexpr std::int64_t most_materialized = std::int64_t{1} << 20;

/// (P) as one row.
ConstView as_row(const ConstView& column) {
  return {column.as<double>(), {1, column.rows()}, {.device = column.device()}};
}

}  // namespace

bool DiagonalCurvature::never_materialized(const Block& block) const {
  return !centred() && block.uses.size() == 1 && block.uses.front().terms == 1 &&
         !block.uses.front().lookup;
}

std::int64_t DiagonalCurvature::rows_at_a_time(const LayerUse& use) const {
  const std::int64_t inputs = std::max<std::int64_t>(1, options_.tile_rows / use.rows_per_input);
  return std::min(inputs * use.rows_per_input, use.rows);
}

std::int64_t DiagonalCurvature::rows_at_a_time(const Block& block) const {
  const std::int64_t most = std::max<std::int64_t>(1, most_materialized / block.size);
  return std::min({most, options_.tile_rows, shape_.rows});
}

void DiagonalCurvature::layout(const CurvatureMemory& memory, const BatchShape& shape) {
  shape_ = shape;
  shape_.uses = {};  // of this call alone
  ready_ = false;
  Carver& lasting = shape.phase == Phase::whole ? memory.system : memory.kept;
  squares_ = lasting.take({shape.parameters, 1}, real);
  gradient_sum_ = lasting.take({shape.parameters, 1}, real);
  mean_.lay_out_nothing();
  if (centred()) mean_.lay_out_sums(lasting, shape.parameters);
  lasting.item("diagonal of F and gradient");
  work_ = {};
  if (shape.phase != Phase::finish) lay_out_rows(memory.scratch, shape);
  if (shape.phase != Phase::part) {
    scalars_ = take_scalars<SolveScalars>(memory.system);
    lay_out_solve(memory.scratch);
  }
  if (shape.phase == Phase::whole) rows_ = 0;
}

void DiagonalCurvature::lay_out_rows(Carver& scratch, const BatchShape& shape) {
  blocks_.divide(shape.tensors, shape.uses, no_groups());
  blocks_.distribute(shape.uses, shape.rows, backend_.row_costs());
  if (centred()) mean_.lay_out_rows(scratch, shape.rows);
  std::int64_t numbers = 0;
  work_.bytes = backend_.rows_scratch(shape.uses, shape.rows, options_.type, real);
  for (const Block& block : blocks_.blocks()) {
    if (!never_materialized(block)) {
      numbers = std::max(numbers, rows_at_a_time(block) * block.size);
      continue;
    }
    LayerUse squared = block.uses.front();
    squared.rows = rows_at_a_time(squared);
    numbers = std::max(numbers, squared_numbers(squared, squared.rows));
    work_.bytes =
        std::max(work_.bytes, backend_.rows_scratch({&squared, 1}, squared.rows, real, real));
  }
  buffer_ = scratch.take({numbers, 1}, real);
  work_.data = scratch.take_bytes(work_.bytes);
  scratch.item("rows or their squares at a time, scratch of products with the rows");
}

void DiagonalCurvature::lay_out_solve(Carver& scratch) {
  const Shape p{shape_.parameters, 1};
  fisher_ = centred() ? scratch.take(p, real) : squares_;
  system_ = shape_.l2_by_tensor ? scratch.take(p, real) : fisher_;
  scratch_ = scratch.take(p, real);
  rhs_ = scratch.take(p, real);
  solution_ = scratch.take(p, real);
  product_ = scratch.take(p, real);
  result_ = scratch.take(p, options_.type);
  element_ = scratch.take({1, 1}, real);
  scratch.item("vectors of the solve");
}

void DiagonalCurvature::forget() {
  rows_ = 0;
  ready_ = false;
}

void DiagonalCurvature::accumulate(const RowInput& rows, Lifetime) {
  const bool first = rows_ == 0;
  const RowBatch batch = rows.set.with_uses(rows.uses);
  if (first) backend_.fill(0, squares_);
  if (shape_.centering != Centering::rows) {
    backend_.adjoint(batch, rows.set.rhs(), first ? 0 : 1, gradient_sum_, work_);
  } else if (first) {
    backend_.fill(0, gradient_sum_);
  }
  if (centred()) {
    mean_.load(rows.set, first);
    if (first) load_first_row(rows.set);
  }
  for (const Block& block : blocks_.blocks()) {
    if (never_materialized(block)) {
      add_squares(block, batch);
    } else if (centred() || !block.uses.empty()) {
      add_materialized_rows(block, batch.scale);
    }
  }
  rows_ += batch.rows();
  ready_ = false;
}

/// The batch's first row itself, without its weight.
void DiagonalCurvature::load_first_row(const ScoreSet& set) {
  const View scale = mean_.element();
  backend_.fill(set.set().scale, scale);
  for (const Block& block : blocks_.blocks()) {
    const View row = matrix_in(buffer_, 0, {1, block.size});
    backend_.materialize({block.uses, scale}, 0, row);
    put_part(backend_, block, matrix_in(buffer_, 0, {block.size, 1}), mean_.first_row());
  }
  mean_.first_row_is_there();
}

/// squares += sum_n (scale_n D_n)^2 (x) A_n^2: S^T y of squared factors.
void DiagonalCurvature::add_squares(const Block& block, const RowBatch& rows) {
  const LayerUse& use = block.uses.front();
  LayerUse squared = use;
  squared.first = 0;
  // Where the use's parameters stand among all, which may be apart.
  if (use.weight_offset >= 0) squared.weight_offset = block.offset_among_all(use.weight_offset);
  if (use.bias_offset >= 0) squared.bias_offset = block.offset_among_all(use.bias_offset);
  const std::int64_t most = rows_at_a_time(use);
  for (std::int64_t first = 0; first < use.rows; first += most) {
    squared.rows = std::min(most, use.rows - first);
    const auto square = [&](const ConstView& factor, const View& to) {
      backend_.multiply(factor, factor, to);
      return to;
    };
    squared.output_score = square(use.output_score.row_range(first, squared.rows),
                                  matrix_in(buffer_, 0, {squared.rows, use.outputs}));
    if (use.inputs > 0) {
      const std::int64_t inputs = squared.rows / use.rows_per_input;
      squared.input = square(use.input.row_range(first / use.rows_per_input, inputs),
                             matrix_in(buffer_, squared.rows * use.outputs, {inputs, use.inputs}));
    }
    const ConstView scale = rows.scale.row_range(use.first + first, squared.rows);
    backend_.adjoint({.blocks = {&squared, 1}, .scale = scale, .weighted = rows.weighted}, scale, 1,
                     squares_, work_);
  }
}

void DiagonalCurvature::add_materialized_rows(const Block& block, const ConstView& scale) {
  const std::int64_t most = rows_at_a_time(block);
  for (std::int64_t first = 0; first < scale.rows(); first += most) {
    const std::int64_t count = std::min(most, scale.rows() - first);
    const View tile = matrix_in(buffer_, 0, {count, block.size});
    backend_.materialize({block.uses, scale}, first, tile);
    add_tile(block, tile, first);
  }
}

/// Adds the squares of materialized rows, centred: of rows less the first one, and their share of
/// its sums.
void DiagonalCurvature::add_tile(const Block& block, const View& tile, std::int64_t first) {
  for (std::size_t i = 0; i < block.tensors.size(); ++i) {
    const std::int64_t size = block.tensors[i].theta.size();
    const View columns = column_range(tile, block.tensors[i].offset, size);
    const auto of_tensor = [&](const View& all) { return all.row_range(block.offsets[i], size); };
    if (centred()) {
      const View u = mean_.roots().row_range(first, tile.rows());
      backend_.gemm(Transpose::no, Transpose::no, -1, u, as_row(of_tensor(mean_.first_row())), 1,
                    columns);
      backend_.gemm(Transpose::yes, Transpose::no, 1, columns, u, 1, of_tensor(mean_.sum()));
    }
    if (shape_.centering == Centering::rows) {
      backend_.gemm(Transpose::yes, Transpose::no, 1, columns,
                    mean_.rhs().row_range(first, tile.rows()), 1, of_tensor(gradient_sum_));
    }
    backend_.column_squares(columns, true, of_tensor(squares_));
  }
}

/// diag(F) of the rows so far, centred.
const View& DiagonalCurvature::centred_diagonal() {
  if (!ready_ && centred()) {
    mean_.scale(scratch_);
    backend_.multiply(scratch_, scratch_, scratch_);
    backend_.copy(squares_, fisher_);
    backend_.axpby(-1.0, scratch_, 1.0, fisher_);
  }
  ready_ = true;
  return fisher_;
}

const FisherOperator& DiagonalCurvature::fisher() {
  operator_.use({.diagonal = centred_diagonal(), .vector = scratch_, .product = product_});
  return operator_;
}

void DiagonalCurvature::factorize(const DampingState* damping) {
  const View& F = centred_diagonal();
  const auto rank = static_cast<double>(std::min(shape_.batch_rows, shape_.parameters));
  backend_.fill(1, scratch_);
  // The trace is finite exactly when all elements are, or when they overflow together.
  backend_.dot(F, scratch_, field(&SolveScalars::trace));
  backend_.copy(field(&SolveScalars::trace), field(&SolveScalars::norm));
  backend_.evaluate(formulas::Damp{.solve = address<SolveScalars>(scalars_),
                                   .damping = damping,
                                   .centering = mean_.scalars(),
                                   .mean = mean_rule(),
                                   .rank = rank,
                                   .rounding = static_cast<double>(shape_.batch_rows) * epsilon});
  // Every element is the pivot of its row: `solve` counts those that are none.
  backend_.fill(std::numeric_limits<double>::infinity(), field(&SolveScalars::pivot));
}

void DiagonalCurvature::solve(const RightHandSide& rhs) {
  const View& F = centred_diagonal();
  const View& b = rhs_;
  if (!shape_.gradient_given) {
    backend_.copy(gradient_sum_, b);
    if (shape_.centering == Centering::rows) {
      mean_.scale(scratch_);
      mean_.remove_from(b, scratch_);
    }
  }
  add_start(backend_, shape_, rhs, scalars_, element_, b);
  if (shape_.l2_by_tensor) {
    load_penalty(backend_, shape_, system_);
    if (!rhs.previous.empty()) {
      backend_.copy(rhs.previous, scratch_);
      backend_.multiply(system_, scratch_, scratch_);
      backend_.axpby(rhs.decay, scratch_, 1.0, b);
    }
    backend_.axpby(1.0, F, 1.0, system_);
  }
  // Of rows that are all zero, which have no unit: there is no step.
  if (options_.scaling != DampingScaling::identity) backend_.fill(0, b);
  const View shift = field(&SolveScalars::shift);
  backend_.divide(system_, shift, b, solution_, field(&SolveScalars::info));
  if (centred()) count_unusable();
  backend_.dot(b, b, field(&SolveScalars::rhs_square));
  backend_.multiply(F, solution_, product_);
  backend_.dot(solution_, product_, field(&SolveScalars::quadratic_form));
  if (shape_.l2_by_tensor) backend_.multiply(system_, solution_, product_);
  backend_.residual(b, product_, shift, solution_, scratch_, field(&SolveScalars::residual_square));
  backend_.copy(solution_, result_);
}

/// Elements of parameters for which the rows do not vary: what centring leaves of them is rounding
/// of the first row's square, relative to (N eps)^2, and no number to divide by.
void DiagonalCurvature::count_unusable() {
  const double relative = static_cast<double>(shape_.batch_rows) * epsilon;
  backend_.multiply(mean_.first_row(), mean_.first_row(), scratch_);
  backend_.axpby(0.0, scratch_, mean_.field(&CenteringScalars::weight), scratch_);
  backend_.axpby(1.0, system_, -relative * relative, scratch_);
  backend_.divide(scratch_, field(&SolveScalars::shift), rhs_, product_,
                  field(&SolveScalars::info));
}

/// The solution for ones.
Outcome DiagonalCurvature::inverse_diagonal(const DampingState* damping, Eigensystem&,
                                            const View& diagonal) {
  factorize(damping);
  backend_.fill(1, rhs_);
  solve({});
  judge();
  backend_.copy(solution_, diagonal);
  return judged_outcome(backend_, *this);
}

void DiagonalCurvature::measure(const ConstView& v) {
  fisher().quadratic_form(v, field(&SolveScalars::quadratic_form));
}

void DiagonalCurvature::judge() {
  const bool rounds = options_.type == ElementType::float32;
  backend_.evaluate(
      formulas::JudgeSolve{.solve = address<SolveScalars>(scalars_),
                           .centering = mean_.scalars(),
                           .bound = BoundRule::diagonal,
                           .mean = mean_rule(),
                           .size = static_cast<double>(shape_.batch_rows),
                           .epsilon = epsilon,
                           .rounding = rounds ? std::numeric_limits<float>::epsilon() / 2.0 : 0,
                           .storage = half_epsilon(options_.type),
                           .scalar_epsilon = epsilon});
}

}  // namespace natgrad::detail
