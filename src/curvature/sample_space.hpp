#pragma once

#include "curvature/cholesky.hpp"
#include "curvature/curvature.hpp"
#include "curvature/damping_units.hpp"
#include "curvature/row_squares.hpp"
#include "curvature/rows_fisher.hpp"
#include "curvature/scaled_rows.hpp"
#include "natgrad/context.hpp"
#include "scores/row_store.hpp"

#include <cstdint>
#include <functional>

namespace natgrad::detail {

/// K = S S^T, N x N, of rows that are never materialized where layers give their factors, and the
/// push-through identity (F + shift I)^-1 S^T = S^T (K + shift I)^-1. N^2 sum(d_in + d_out) + N^3 /
/// 3 operations a batch.
///
/// With g = S^T r: (K + shift I) y = r - S m, d = m + S^T y, and S d = S m + K y comes free. For
/// any other g: (K + shift I) t = S g, d = (g - S^T t) / shift, S d = t. Centred rows: everything
/// is projected onto the complement of u, u_n = sqrt(w_n), in double. A damping in units D, or a
/// penalty by tensor, is one of scaled rows: K = S D^-1 S^T of copies; products with vectors take
/// the rows as they are and scale the vectors, which costs refined solves no digit of float rows.
class SampleSpace final : public Curvature, public RepeatedSolve {
 public:
  SampleSpace(const Context& context, const CurvatureOptions& options);

  void layout(const CurvatureMemory& memory, const BatchShape& shape) override;
  void reserve(const BatchShape& shape) override;
  std::int64_t reserved_bytes(const BatchShape& shape) const override;
  void accumulate(const RowInput& rows, Lifetime lifetime) override;
  /// Takes back the last rows that were copied.
  void undo_accumulate() noexcept { store_.undo(); }
  void factorize(const DampingState* damping) override;
  View gradient() const override { return gradient_; }
  void solve(const RightHandSide& rhs) override;
  View direction() const override { return result_; }
  void measure(const ConstView& v) override;
  RepeatedSolve* repeated() override { return this; }
  void multiply_direction(const View& product) override;
  void solve_again(const ConstView& r, const View& x) override;
  void judge() override;
  View scalars() const override { return cholesky_.scalars(); }
  Form form() const override { return Form::dual; }
  Outcome inverse_diagonal(const DampingState* damping, Eigensystem& known,
                           const View& diagonal) override;
  void forget() override;
  const FisherOperator& fisher() override;

 private:
  ElementType gram_type() const;
  /// Of r, y, d and g while they are computed.
  ElementType vector_type() const;
  bool refined() const { return options_.refinement > 0; }
  bool centred() const { return shape_.centering == Centering::rows; }
  MeanRule mean_rule() const;
  RowBatch rows() const;
  /// Whether the shift is not of one unit: the system is one of scaled rows then.
  bool scaled() const {
    return options_.scaling != DampingScaling::identity || shape_.l2_by_tensor;
  }
  const CenteringScalars* centering() const;
  View of_centering(double CenteringScalars::*name) const { return scalar(centering_, name); }
  View field(double SolveScalars::*name) const { return cholesky_.field(name); }

  void lay_out_units(const CurvatureMemory& memory, std::span<const LayerUse> uses);
  void load_roots();
  void load_units();
  void assemble();
  void multiply(const ConstView& v, const View& z);
  void adjoint(const View& y, double beta, const View& g);
  void load_start(const RightHandSide& rhs);
  void load_scaled_gradient(const RightHandSide& rhs);
  void center_coefficients();
  void solve_system();
  void refine();
  void push_through(const RightHandSide& rhs);
  void solve_gradient(const RightHandSide& rhs);
  void center_fisher(const ConstView& r);
  void store_length(const ConstView& d);
  void add_squares(const Eigensystem& system, const std::function<double(double)>& f,
                   const View& sum);
  BoundRule bound() const;

  Context context_;
  Backend& backend_;
  CurvatureOptions options_;
  MathMode mode_;
  DampedCholesky cholesky_;
  RowStore store_;
  RowsFisher fisher_;
  RowSquares squares_;
  DampingUnits units_;
  ScaledRows scaled_rows_;
  BatchShape shape_;
  bool assembled_ = false;     // K is of the rows there are
  bool roots_loaded_ = false;  // since the last layout
  const DampingState* damping_ = nullptr;
  RowBatch viewed_;       // rows of one call
  ConstView viewed_rhs_;  // r (N) float64

  View rhs_;               // r or S g (N): the right-hand side
  View solution_;          // y or t (N)
  View product_;           // S d (N)
  View residual_;          // (N)
  View start_;             // refined: m (P)
  View start_product_;     // S m (N)
  View gradient_;          // g (P) where it is given
  View direction_;         // d (P)
  View result_;            // d (P) of the parameters' type
  View roots_;             // u (N), where anything is centred
  View centering_;         // a CenteringScalars
  View given_rhs_;         // r (N) float64 of coefficients that a solve brings
  View unused_;            // (N) float64
  View scalar_;            // one element
  View unscaled_;          // scaled: (P), a vector on its way into or out of the units
  View measured_;          // v (P) float64, as is the next
  View measured_product_;  // S v (N)
  Scratch work_;           // of row operations
};

}  // namespace natgrad::detail
