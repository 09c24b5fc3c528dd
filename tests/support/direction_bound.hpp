#pragma once

#include "support/plain.hpp"
#include "support/tolerance.hpp"

#include <cmath>
#include <cstdint>

namespace natgrad::tests {

/// Of |d - d_exact| / |d_exact| for d = (A + damping I)^-1 b: a matrix of sums of `length`
/// products, factorized with `size` unknowns, errs by these roundings relative to |A|, and the
/// solve carries them into d with the condition number 1 + |A| / damping (Higham 2002, theorems 7.2
/// and 10.4). The right-hand side and the product S^T y pass through as many again: hence twice.
inline double direction_bound(std::size_t size, std::size_t length, ElementType type, double norm,
                              double damping) {
  const double condition = 1 + norm / damping;
  return 2 * (solve_bound(static_cast<std::int64_t>(size), type, condition) +
              sum_bound(static_cast<std::int64_t>(length), type, condition));
}

/// The same for rows S in either form: the larger of both sizes, and the trace for |A|.
inline double direction_bound(const Table& S, ElementType type, double damping) {
  const std::size_t larger = S.rows > S.columns ? S.rows : S.columns;
  return direction_bound(larger, larger, type, trace(gram(S)), damping);
}

}  // namespace natgrad::tests
