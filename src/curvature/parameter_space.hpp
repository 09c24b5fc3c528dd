#pragma once

#include "curvature/cholesky.hpp"
#include "curvature/curvature.hpp"
#include "curvature/damping_units.hpp"
#include "curvature/dense_fisher.hpp"
#include "curvature/row_mean.hpp"

#include <cstdint>

namespace natgrad::detail {

/// F itself, P x P, accumulated and factorized in double whatever the rows' type: nothing of the
/// rows is kept. N P^2 + P^3 / 3 operations a batch.
/// Centred rows: see `RowMean`. A damping in units D scales F in place, D^-1/2 F D^-1/2, from the
/// factorization on until more is added to F or looked at; a penalty by tensor is a diagonal beside
/// it.
class ParameterSpace final : public Curvature, public RepeatedSolve {
 public:
  ParameterSpace(Backend& backend, const CurvatureOptions& options)
      : backend_(backend),
        options_(options),
        cholesky_(backend),
        mean_(backend),
        units_(backend, options.scaling, options.type),
        fisher_(backend) {}

  void layout(const CurvatureMemory& memory, const BatchShape& shape) override;
  void reserve(const BatchShape&) override {}
  std::int64_t reserved_bytes(const BatchShape&) const override { return 0; }
  void accumulate(const RowInput& rows, Lifetime lifetime) override;
  void factorize(const DampingState* damping) override;
  View gradient() const override { return cholesky_.rhs(); }
  void solve(const RightHandSide& rhs) override;
  std::int64_t substitutes() const override { return solutions_.rows(); }
  void substitute(const ConstView& gradients, double scale) override;
  View direction() const override { return result_; }
  void measure(const ConstView& v) override;
  RepeatedSolve* repeated() override { return this; }
  void multiply_direction(const View& product) override;
  void solve_again(const ConstView& r, const View& x) override;
  void judge() override;
  View scalars() const override { return cholesky_.scalars(); }
  Form form() const override { return Form::primal; }
  Outcome inverse_diagonal(const DampingState* damping, Eigensystem& known,
                           const View& diagonal) override;
  void forget() override;
  const FisherOperator& fisher() override;

 private:
  bool scaled() const { return options_.scaling != DampingScaling::identity; }
  const View& centred_matrix();
  void load_units();
  void enter_units();
  void leave_units();
  void load_penalty_in_units();
  void add_start_in_units(const RightHandSide& rhs);
  void lay_out_several(Carver& scratch);
  MeanRule mean_rule() const;
  bool centred() const { return shape_.centering != Centering::none; }
  void accumulate_tile(const RowBatch& batch, std::int64_t first, double beta);
  void load_first_row(const RowInput& rows);
  void finish_gradient();
  void measure_from_rows(const ConstView& v);
  void store_square(const ConstView& d, double SolveScalars::*to);

  Backend& backend_;
  CurvatureOptions options_;
  DampedCholesky cholesky_;
  RowMean mean_;
  DampingUnits units_;
  DenseFisher fisher_;
  BatchShape shape_;
  std::int64_t rows_ = 0;             // so far
  bool mean_removed_ = false;         // from F
  bool in_units_ = false;             // F is D^-1/2 F D^-1/2
  std::span<const LayerUse> viewed_;  // rows at hand until the step has run
  ConstView viewed_scale_;
  View gradient_sum_;  // S^T r (P) float64, of centred rows less the first
  View penalty_;       // eta E (P) float64 in the units, where it is no part of the shift
  View tile_;          // (rows at a time, P) float64
  View solutions_;     // (gradients at a time, P) float64, of `substitute`
  View products_;      // F times these
  View square_;        // a block of F that they are multiplied by
  View product_;       // S d (N) float64, where rows are at hand and g is given
  View scratch_;       // (P) float64
  View result_;        // d (P) of the parameters' type
  Scratch work_;       // of row operations
};

}  // namespace natgrad::detail
