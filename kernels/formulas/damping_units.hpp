#pragma once

#include "kernels/formulas/solve.hpp"

#include <cmath>

// The units that damping is counted in: with theta' = D^1/2 theta the matrix F + lambda D is that
// of D^-1/2 F D^-1/2 + lambda I, and all that is known of a shifted matrix holds of it.

namespace natgrad {

/// The unit of one tensor.
struct TensorUnit {
  double diagonal;      // mean of the diagonal of F over the tensor
  double inverse_root;  // D^-1/2, 0 where the tensor has no unit
  double root;          // D^1/2, 0 where the tensor has no unit
  double row_factor;    // the first as columns of S take it: 1 without a unit, for they are zero
  double row_root;      // 1 / row_factor
  double pull;          // factor of theta in the start of a solve, from a penalty

  static constexpr const char* names[] = {"diagonal",   "inverse_root", "root",
                                          "row_factor", "row_root",     "pull"};
};

namespace formulas {

/// 1 / sqrt(x), and 0 where x is below `smallest`: what has no unit is left alone. NaN where x is
/// not finite.
template <class T>
NATGRAD_FORMULA T inverse_root(T x, T smallest) {
  if (x < smallest) return T{0};
  return x * 0 == 0 ? T{1} / static_cast<T>(sqrt(x)) : x * 0;
}

/// A tensor's unit D, the mean diagonal element of F with `scaled`, else 1. A penalty eta/2
/// |theta|^2 of the tensor joins it, lambda D + eta = lambda (D + eta / lambda), and pulls theta
/// by -eta / (lambda D + eta).
struct UnitOfTensor {
  TensorUnit* unit;
  const DampingState* damping;
  bool scaled;
  double l2;        // eta of this tensor
  double smallest;  // a diagonal below it is none

  NATGRAD_FORMULA void operator()() const {
    TensorUnit& u = *unit;
    const double own = scaled ? u.diagonal : 1;
    const bool none = own < smallest;
    const double unit_square = l2 > 0 ? own + l2 / damping->absolute : own;
    u.inverse_root = none ? 0 : inverse_root(unit_square, smallest);
    u.root = none ? 0 : unit_square * u.inverse_root;
    u.row_factor = none ? 1 : u.inverse_root;
    u.row_root = none ? 1 : u.root;
    u.pull = none || !(l2 > 0) ? 0 : -l2 / (damping->absolute * unit_square);
  }
};

}  // namespace formulas
}  // namespace natgrad
