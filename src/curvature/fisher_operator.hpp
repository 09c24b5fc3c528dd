#pragma once

#include "curvature/eigensystem.hpp"
#include "natgrad/array.hpp"
#include "natgrad/context.hpp"

namespace natgrad::detail {

/// The matrix F of accumulated rows to look at, neither damped nor factorized. Everything is
/// enqueued and nothing reads back, but for its eigenvalues.
class FisherOperator {
 public:
  virtual ~FisherOperator() = default;

  /// product = F v, both P contiguous numbers of the parameters' type.
  virtual void apply(const ConstView& v, const View& product) const = 0;
  /// result = v^T F v (one float64), v (P) of the parameters' type.
  virtual void quadratic_form(const ConstView& v, const View& result) const = 0;
  /// The diagonal (P) of F. It takes the context's scratch, so that a `layout` of the curvature
  /// comes before its next solve.
  virtual void diagonal(const View& diagonal) const = 0;
  /// F as a full (P, P) array. It takes the context's scratch, as `diagonal` does.
  virtual void to_dense(const View& matrix) const = 0;

  // What follows waits, and takes memory of its own.

  /// Eigenvalues and eigenvectors, where `to` does not know them yet.
  virtual void decompose(const Context& context, Eigensystem& to) const = 0;
  /// product = F^+ v with the eigenvalues above `cutoff`, both (P) float64, apart from each other.
  virtual void pseudo_inverse(const Context& context, const Eigensystem& of, double cutoff,
                              const ConstView& v, const View& product) const = 0;
};

}  // namespace natgrad::detail
