#pragma once

#include "backend/backend.hpp"
#include "core/arena.hpp"
#include "curvature/curvature.hpp"
#include "kernels/formulas/solve.hpp"
#include "scores/score_set.hpp"

#include <cstdint>

namespace natgrad::detail {

/// What centring takes out of rows that are added up in parts. Centred rows are S - u u^T S /
/// |u|^2, u_n = sqrt(w_n), so that S^T S loses q q^T / |u|^2 and S^T r loses q u^T r / |u|^2, q =
/// S^T u. Both would lose the digits that the mean has more than the spread; so all sums are of s_n
/// - s_0 and c_n - c_0, the first row and coefficient of the batch, which are of the size of the
/// spread. Centred rows do not see the difference.
class RowMean {
 public:
  explicit RowMean(Backend& backend) : backend_(backend) {}

  /// What lasts while rows are added.
  void lay_out_sums(Carver& carver, std::int64_t parameters);
  /// What one set of rows takes.
  void lay_out_rows(Carver& carver, std::int64_t rows);
  /// Without centring: nothing.
  void lay_out_nothing();

  /// u, sqrt(w_n) (c_n - c_0), and their products of a set. The first set of a batch sets c_0 and
  /// starts the sums; then the caller fills `first_row`, without its weight, and says so.
  void load(const ScoreSet& rows, bool first);
  void first_row_is_there();

  const View& roots() const { return roots_; }          // u (N) float64
  const View& rhs() const { return rhs_; }              // sqrt(w_n) (c_n - c_0), (N) float64
  const View& sum() const { return sum_; }              // q (P) float64, the caller adds to it
  const View& first_row() const { return first_row_; }  // s_0 (P) float64

  /// to = q / |u|, (P) float64; |q|^2 into the scalars.
  void scale(const View& to);
  /// gradient -= q u^T r / |u|^2, both (P) float64, with the `scaled` that `scale` wrote.
  void remove_from(const View& gradient, const View& scaled);

  const CenteringScalars* scalars() const { return address<CenteringScalars>(scalars_); }
  View field(double CenteringScalars::*name) const { return scalar(scalars_, name); }
  const View& element() const { return element_; }  // one element, for any use

 private:
  void add(const ConstView& x, const ConstView& y, double CenteringScalars::*to);

  Backend& backend_;
  View sum_;
  View first_row_;
  View scalars_;  // a CenteringScalars
  View roots_;
  View rhs_;
  View element_;
};

}  // namespace natgrad::detail
