#include "curvature/row_mean.hpp"

namespace natgrad::detail {

void RowMean::lay_out_sums(Carver& carver, std::int64_t parameters) {
  sum_ = carver.take({parameters, 1}, real);
  first_row_ = carver.take({parameters, 1}, real);
  scalars_ = take_scalars<CenteringScalars>(carver);
}

void RowMean::lay_out_rows(Carver& carver, std::int64_t rows) {
  roots_ = carver.take({rows, 1}, real);
  rhs_ = carver.take({rows, 1}, real);
  element_ = carver.take({1, 1}, real);
}

void RowMean::lay_out_nothing() { sum_ = first_row_ = scalars_ = roots_ = rhs_ = element_ = {}; }

/// to += x . y
void RowMean::add(const ConstView& x, const ConstView& y, double CenteringScalars::*to) {
  backend_.dot(x, y, element_);
  backend_.axpby(1.0, element_, 1.0, field(to));
}

void RowMean::load(const ScoreSet& rows, bool first) {
  const RowSet& set = rows.set();
  const View reference = field(&CenteringScalars::reference);
  if (first) {
    backend_.fill(0, scalars_);
    backend_.fill(0, sum_);
    if (!set.coefficients.empty()) backend_.copy(set.coefficients.row_range(0, 1), reference);
  }
  backend_.row_scaling(set.weights, rows.uniform_weight(), set.coefficients, reference, 1, roots_,
                       rhs_);
  add(roots_, roots_, &CenteringScalars::weight);
  add(roots_, rhs_, &CenteringScalars::coefficients);
}

void RowMean::first_row_is_there() {
  backend_.dot(first_row_, first_row_, field(&CenteringScalars::first_square));
}

void RowMean::scale(const View& to) {
  backend_.evaluate(formulas::CenterFactors{.centering = address<CenteringScalars>(scalars_)});
  backend_.axpby(field(&CenteringScalars::scale), sum_, 0.0, to);
  backend_.dot(sum_, sum_, field(&CenteringScalars::moment));
}

void RowMean::remove_from(const View& gradient, const View& scaled) {
  backend_.axpby(field(&CenteringScalars::shift), scaled, 1.0, gradient);
}

}  // namespace natgrad::detail
