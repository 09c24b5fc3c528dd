#include "curvature/cholesky.hpp"

#include "curvature/curvature.hpp"
#include "curvature/parameter_blocks.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>

namespace natgrad::detail {

void DampedCholesky::layout(Carver& carver, std::int64_t n, ElementType type) {
  const std::int64_t work = backend_.potrf_scratch(Triangle::upper, n, leading_dimension(n), type);
  size_ = n;
  type_ = type;
  extra_ = {};
  const View both = carver.take({n, leading_dimension(n)}, type);
  rhs_ = carver.take({n, 1}, type);
  solution_ = carver.take({n, 1}, type);
  product_ = carver.take({n, 1}, type);
  residual_ = carver.take({n, 1}, type);
  scalars_ = take_scalars<SolveScalars>(carver);
  work_ = {.data = carver.take_bytes(work), .bytes = work};
  matrix_ = factor_ = {};
  if (both.empty()) return;
  const Placement placement{.leading_dimension = leading_dimension(n), .device = both.device()};
  matrix_ = View(both.data(), type, {n, n}, placement);
  factor_ = View(static_cast<std::byte*>(both.data()) + factor_offset * size_of(type), type, {n, n},
                 placement);
}

View DampedCholesky::field(double SolveScalars::*name) const { return scalar(scalars_, name); }

double DampedCholesky::epsilon() const {
  return type_ == ElementType::float64 ? std::numeric_limits<double>::epsilon()
                                       : std::numeric_limits<float>::epsilon();
}

void DampedCholesky::factorize(const DampingState* damping, double rank, MeanRule mean,
                               const CenteringScalars* centering) {
  backend_.mirror(matrix_, factor_);
  backend_.norm_and_trace(matrix_, factor_, field(&SolveScalars::norm),
                          field(&SolveScalars::trace));
  backend_.evaluate(formulas::Damp{.solve = address<SolveScalars>(scalars_),
                                   .damping = damping,
                                   .centering = centering,
                                   .mean = mean,
                                   .rank = rank,
                                   .rounding = static_cast<double>(size_) * epsilon()});
  const View shift = field(&SolveScalars::shift);
  backend_.add_to_diagonal(shift, factor_);
  if (!extra_.empty()) backend_.axpby(1.0, extra_, 1.0, diagonal_of(factor_));
  backend_.identity_unless(field(&SolveScalars::matrix_finite), Triangle::upper, factor_);
  backend_.potrf(Triangle::upper, factor_, field(&SolveScalars::info), work_);
  static_assert(offsetof(SolveScalars, pivot) ==
                offsetof(SolveScalars, pivot_ratio) + sizeof(double));  // one result of two numbers
  auto* pivots = &address<SolveScalars>(scalars_)->pivot_ratio;
  backend_.smallest_pivots(matrix_, shift, factor_,
                           View(pivots, {2, 1}, {.device = scalars_.device()}));
}

void DampedCholesky::estimate_inverse() {
  constexpr int iterations = 3;
  backend_.fill(1 / std::sqrt(static_cast<double>(size_)), solution_);
  const View factor = field(&SolveScalars::residual);
  const View length = field(&SolveScalars::residual_square);  // both are free until the solve
  for (int i = 0; i < iterations; ++i) {
    backend_.potrs(Triangle::upper, factor_, solution_, work_);
    backend_.dot(solution_, solution_, length);
    backend_.evaluate(
        formulas::InverseIterate{.square = length.as<double>(),
                                 .inverse_norm = &address<SolveScalars>(scalars_)->inverse_norm,
                                 .factor = factor.as<double>()});
    backend_.axpby(0.0, solution_, factor, solution_);
  }
}

void DampedCholesky::substitute() {
  backend_.copy(rhs_, solution_);
  backend_.potrs(Triangle::upper, factor_, solution_, work_);
}

void DampedCholesky::substitute_rows(const View& b) {
  backend_.potrs(Triangle::upper, factor_, b, work_);
}

/// A has its lower triangle alone: what stands left of a block on its diagonal is multiplied with
/// from both sides.
void DampedCholesky::multiply_rows(const ConstView& rows, const View& square, const View& product) {
  for (std::int64_t first = 0; first < size_; first += square.rows()) {
    const std::int64_t count = std::min(square.rows(), size_ - first);
    const View below = matrix_.row_range(first, count);
    const View diagonal(square.data(), type_, {count, count}, {.device = square.device()});
    backend_.copy(column_range(below, first, count), diagonal);
    backend_.mirror(diagonal, diagonal);
    const ConstView x = column_range(rows, first, count);
    const View own = column_range(product, first, count);
    backend_.gemm(Transpose::no, Transpose::no, 1, x, diagonal, 0, own);
    if (first == 0) continue;
    const View left = column_range(below, 0, first);
    backend_.gemm(Transpose::no, Transpose::yes, 1, column_range(rows, 0, first), left, 1, own);
    backend_.gemm(Transpose::no, Transpose::no, 1, x, left, 1, column_range(product, 0, first));
  }
}

void DampedCholesky::solve() {
  substitute();
  backend_.symv(Triangle::lower, matrix_, solution_, product_);
  measure_residual();
}

void DampedCholesky::solve_known(const ConstView& solution, const ConstView& product) {
  backend_.copy(solution, solution_);
  backend_.copy(product, product_);
  measure_residual();
}

void DampedCholesky::measure_residual() {
  backend_.dot(rhs_, rhs_, field(&SolveScalars::rhs_square));
  View product = product_;
  if (!extra_.empty()) {
    backend_.multiply(extra_, solution_, residual_);
    backend_.axpby(1.0, product_, 1.0, residual_);
    product = residual_;
  }
  backend_.residual(rhs_, product, field(&SolveScalars::shift), solution_, residual_,
                    field(&SolveScalars::residual_square));
}

}  // namespace natgrad::detail
