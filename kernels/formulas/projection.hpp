#pragma once

#include "kernels/formulas/formula.hpp"

#include <limits>

// The projection P = I - u u^T / |u|^2, which takes a mean out of rows and of K.

namespace natgrad::formulas {

inline constexpr double smallest_normal = std::numeric_limits<double>::min();

/// Whether u spans anything: P is I where |u|^2 is 0, or so small that its reciprocal overflows. A
/// |u|^2 that is not finite spans, so that what it is divided into is not finite either.
NATGRAD_FORMULA bool spans(double square) { return !(square < smallest_normal); }

/// c / 2 = u^T A u / (2 |u|^4) of a u that spans, with u^T A u = `moment` and |u|^2 = `square`. The
/// fourth power may underflow where |u|^2 does not.
NATGRAD_FORMULA double half_mean(double moment, double square) {
  const double power = 2 * square * square;
  return spans(power) ? moment / power : moment / square / square / 2;
}

}  // namespace natgrad::formulas
