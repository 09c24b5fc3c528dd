#pragma once

#include "curvature/curvature.hpp"
#include "curvature/diagonal_fisher.hpp"
#include "curvature/parameter_blocks.hpp"
#include "curvature/row_mean.hpp"

#include <cstdint>

namespace natgrad::detail {

/// The diagonal of F, P numbers that are accumulated and solved with in double whatever the rows'
/// type: nothing of the rows is kept, d_i = g_i / (F_ii + shift).
///
/// Layers with one term whose parameters no other use shares never materialize their rows: sum_n
/// w_n (D_ni A_nj)^2 is S^T y of squared factors, 2 N P operations. Rows of other uses, and centred
/// ones, are materialized some at a time and squared, about 4 N P operations at the speed of
/// memory.
class DiagonalCurvature final : public Curvature {
 public:
  DiagonalCurvature(Backend& backend, const CurvatureOptions& options)
      : backend_(backend), options_(options), mean_(backend), operator_(backend) {}

  void layout(const CurvatureMemory& memory, const BatchShape& shape) override;
  void reserve(const BatchShape&) override {}
  std::int64_t reserved_bytes(const BatchShape&) const override { return 0; }
  void accumulate(const RowInput& rows, Lifetime lifetime) override;
  void factorize(const DampingState* damping) override;
  View gradient() const override { return rhs_; }
  void solve(const RightHandSide& rhs) override;
  View direction() const override { return result_; }
  void measure(const ConstView& v) override;
  void judge() override;
  View scalars() const override { return scalars_; }
  Form form() const override { return Form::primal; }
  const FisherOperator& fisher() override;
  void forget() override;

 private:
  using Block = ParameterBlocks::Block;

  bool centred() const { return shape_.centering != Centering::none; }
  MeanRule mean_rule() const { return centred() ? MeanRule::removed : MeanRule::none; }
  View field(double SolveScalars::*name) const { return scalar(scalars_, name); }
  bool never_materialized(const Block& block) const;
  std::int64_t rows_at_a_time(const LayerUse& use) const;
  std::int64_t rows_at_a_time(const Block& block) const;

  void lay_out_rows(Carver& scratch, const BatchShape& shape);
  void lay_out_solve(Carver& scratch);
  void load_first_row(const ScoreSet& set);
  void add_squares(const Block& block, const ConstView& scale);
  void add_materialized_rows(const Block& block, const ConstView& scale);
  void add_tile(const Block& block, const View& tile, std::int64_t first);
  const View& centred_diagonal();
  void count_unusable();

  Backend& backend_;
  CurvatureOptions options_;
  ParameterBlocks blocks_;  // of tensors whose rows are materialized together
  RowMean mean_;
  DiagonalFisher operator_;
  BatchShape shape_;
  std::int64_t rows_ = 0;  // so far
  bool ready_ = false;     // `fisher_` is of these

  View squares_;       // (P) float64: the diagonal, but for the rows' mean
  View gradient_sum_;  // S^T r (P) float64
  View scalars_;       // a SolveScalars
  View buffer_;        // rows materialized at a time, or squared factors; float64
  View fisher_;        // diag(F) (P) float64, as are the next four
  View system_;  // diag(F) + eta E (P) float64, where eta is no part of the shift; else `fisher_`
  View scratch_;
  View rhs_;
  View solution_;
  View product_;
  View result_;   // d (P) of the parameters' type
  View element_;  // one element
  Scratch work_;  // of row operations
};

}  // namespace natgrad::detail
