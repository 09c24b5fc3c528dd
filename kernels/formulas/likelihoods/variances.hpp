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
/// min(|score_c|, 1), eps the rounding of T. Their products, S^T r, stay the score itself whatever
/// the bound, and S^T S changes by no more than the rounding of numbers of order 1; an output that
/// is saturated as its target is, where |score| is about v, keeps its v however small. A smaller
/// bound would do harm: in the solution of (K + lambda I) y = r a coefficient of 1 / sqrt(v) errs
/// the other numbers by eps / sqrt(v) of their size, which is sqrt(eps) at v = eps.
///
/// The score of a count has no bound, y - rate, hence the minimum: a count of 1e8 where 1 is
/// expected is a large coefficient, not a large F. The bound then acts only where the rate is below
/// eps and the count is not 0, and adds at most eps for such a count, which is at least 1: in the
/// mean eps times the mean count, the rounding of what F is once the rates fit the counts.
/// Gaussian outputs take no part: their variance is 1 / sigma^2 or 2, of whatever order, and score
/// and root vanish together, so that the coefficient is the error in sigmas.
template <class T>
NATGRAD_FORMULA double bounded_root(double variance, double score) {
  const double size = magnitude(score);
  const double least = rounding_of<T> * (size > 1 ? 1 : size);
  return std::sqrt(variance < least ? least : variance);
}

/// The same for an output of a coin or a count, whose F_out is the variance of its target: 0 where
/// target and output agree to all digits of T, variance and score both below eps. Such an output
/// has no information left. It matters without damping alone: where the data are separable the
/// outputs grow by about one a step without end while F and g vanish together, and F^-1 g stays a
/// step of that size. Without these rows F becomes singular, and the run ends as
/// `not_positive_definite`, at outputs of about 16 in float and 36 in double. Not for the classes
/// of a categorical distribution: of many, each below eps, the sum need not be.
template <class T>
NATGRAD_FORMULA double bounded_root_of_target(double variance, double score) {
  if (variance < rounding_of<T> && magnitude(score) < rounding_of<T>) return 0;
  return bounded_root<T>(variance, score);
}

/// score / root; 0 where the root is, and NaN where the score is.
NATGRAD_FORMULA double exact_coefficient(double score, double root) {
  return root > 0 ? score / root : 0 * score;
}

}  // namespace natgrad::formulas
