#pragma once

#include "kernels/formulas/formula.hpp"

#include <limits>

namespace natgrad::formulas {

/// The least variance of an output that exact Fisher rows are made with, for rows of type T.
///
/// Row c of F_out^(1/2) is a multiple of sqrt(v_c), v_c a probability, a rate or p (1 - p), and its
/// coefficient is score_c / sqrt(v_c), which is 0/0 once v_c is 0. Rows and coefficients therefore
/// take the same v_c, no less than this. Their products, S^T r, stay the score itself whatever the
/// bound; S^T S changes by no more than the bound, which is the rounding of numbers of order 1. A
/// smaller one would do harm: a coefficient 1 / sqrt(v) errs the others in the solution of
/// (K + lambda I) y = r by eps / sqrt(v), which at v = eps is sqrt(eps).
template <class T>
inline constexpr double least_variance = static_cast<double>(std::numeric_limits<T>::epsilon());

/// The larger of a variance and `least`; NaN stays.
NATGRAD_FORMULA double bounded_variance(double variance, double least) {
  return variance < least ? least : variance;
}

}  // namespace natgrad::formulas
