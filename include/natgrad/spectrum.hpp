#pragma once

#include "natgrad/export.hpp"
#include "natgrad/types.hpp"

#include <cstdint>
#include <vector>

namespace natgrad {

/// The eigenvalues of a Fisher matrix F (P, P) on the host, as `FisherMatrix::spectrum` computed
/// them, and what follows from them. Plain numbers: nothing waits.
struct NATGRAD_EXPORT Spectrum {
  /// `accepted`; or `not_finite`, without eigenvalues: F is not finite, or the iteration for its
  /// eigenvalues did not converge.
  Outcome outcome = Outcome::accepted;
  std::int64_t size = 0;  ///< P
  /// Of F without damping, ascending, none negative: those that N rows can make non-zero, min(N, P)
  /// of them (of each block, P of a diagonal); the other eigenvalues of F are 0. What rounding
  /// cannot tell from 0 is 0: an eigenvalue at most (n + 4 sqrt(N)) eps times the largest one of
  /// its block, n the order of the matrix that was decomposed. Of a diagonal they are exact.
  std::vector<double> eigenvalues = {};

  /// The number of eigenvalues above tolerance times the largest one; without a tolerance of those
  /// that are not 0. Throws `OptionError` for a tolerance that is negative or NaN.
  std::int64_t rank(double tolerance = 0) const;

  /// Condition number of F + damping I by the 2-norm: the largest eigenvalue over the smallest of
  /// all P, infinite where that is 0. Throws `OptionError` for a damping that is negative or not
  /// finite. NaN without eigenvalues for `outcome`.
  double condition(double damping = 0) const;

  /// log det(F + damping I), the sum of the logarithms of all P eigenvalues: minus infinity where
  /// one is 0. `damping` is absolute, in the units of F, whatever the options of the matrix are.
  /// Throws `OptionError` for a damping that is negative or not finite. NaN without eigenvalues for
  /// `outcome`.
  double log_determinant(double damping = 0) const;
};

}  // namespace natgrad
