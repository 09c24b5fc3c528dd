#pragma once

#include "natgrad/array.hpp"

namespace natgrad::detail {

/// The matrix F of accumulated rows to look at, neither damped nor factorized. Everything is
/// enqueued and nothing reads back.
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
};

}  // namespace natgrad::detail
