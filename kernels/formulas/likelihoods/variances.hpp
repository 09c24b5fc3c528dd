#pragma once

#include "kernels/formulas/elementary.hpp"
#include "kernels/formulas/formula.hpp"

#include <cmath>
#include <type_traits>

namespace natgrad::formulas {

/// The distance from 1 to the next number of T.
template <class T>
inline constexpr double rounding_of = std::is_same_v<T, float> ? 0x1p-23 : 0x1p-52;

/// The root of the variance v of an output, as an exact Fisher row of type T is made with.
///
/// Row c of F_out^(1/2) is a multiple of sqrt(v_c), v_c a probability, a rate or p (1 - p), and its
/// coefficient is score_c / sqrt(v_c), which is 1/0 where an output is saturated and its target
/// says otherwise. Rows and coefficients therefore take the same variance, no less than eps
/// |score_c|, eps the rounding of T. Their products, S^T r, stay the score itself whatever the
/// bound, and S^T S changes by no more than the rounding of numbers of order 1; an output that is
/// saturated as its target is, where |score| is about v, keeps its v however small. A smaller bound
/// would do harm: in the solution of (K + lambda I) y = r a coefficient of 1 / sqrt(v) errs the
/// other numbers by eps / sqrt(v) of their size, which is sqrt(eps) at v = eps.
template <class T>
NATGRAD_FORMULA double bounded_root(double variance, double score) {
  const double least = rounding_of<T> * magnitude(score);
  return std::sqrt(variance < least ? least : variance);
}

/// score / root; 0 where both are, and NaN where the score is.
NATGRAD_FORMULA double exact_coefficient(double score, double root) {
  return root > 0 ? score / root : 0 * score;
}

}  // namespace natgrad::formulas
