#pragma once

#include "kernels/formulas/elementary.hpp"
#include "kernels/formulas/formula.hpp"

#include <cmath>

namespace natgrad::formulas {

inline constexpr double half_log_two_pi = 0.91893853320467274178;

/// x with Phi(x) = u + 2^-54, Phi the normal distribution function: the middle of the interval that
/// a uniform number u = i / 2^53 in [0, 1) stands for, so that x is finite, |x| < 8.3. Within about
/// 1e-15 of its magnitude. Rational functions of Wichura 1988, "Algorithm AS 241: the percentage
/// points of the normal distribution", PPND16.
NATGRAD_FORMULA double inverse_normal(double u) {
  const double q = u - 0.5;
  if (magnitude(q) <= 0.425) {
    const double middle = q + 0x1p-54;
    const double r = 0.180625 - middle * middle;
    return middle *
           polynomial(r, 3.3871328727963666080e0, 1.3314166789178437745e+2,
                      1.9715909503065514427e+3, 1.3731693765509461125e+4, 4.5921953931549871457e+4,
                      6.7265770927008700853e+4, 3.3430575583588128105e+4,
                      2.5090809287301226727e+3) /
           polynomial(r, 1.0, 4.2313330701600911252e+1, 6.8718700749205790830e+2,
                      5.3941960214247511077e+3, 2.1213794301586595867e+4, 3.9307895800092710610e+4,
                      2.8729085735721942674e+4, 5.2264952788528545610e+3);
  }
  // The tail beyond x, exact in double on either side.
  const double tail = q < 0 ? u + 0x1p-54 : (1 - u) - 0x1p-54;
  const double r = std::sqrt(-std::log(tail));
  double x;
  if (r <= 5) {
    x = polynomial(r - 1.6, 1.42343711074968357734e0, 4.63033784615654529590e0,
                   5.76949722146069140550e0, 3.64784832476320460504e0, 1.27045825245236838258e0,
                   2.41780725177450611770e-1, 2.27238449892691845833e-2,
                   7.74545014278341407640e-4) /
        polynomial(r - 1.6, 1.0, 2.05319162663775882187e0, 1.67638483018380384940e0,
                   6.89767334985100004550e-1, 1.48103976427480074590e-1, 1.51986665636164571966e-2,
                   5.47593808499534494600e-4, 1.05075007164441684324e-9);
  } else {
    x = polynomial(r - 5, 6.65790464350110377720e0, 5.46378491116411436990e0,
                   1.78482653991729133580e0, 2.96560571828504891230e-1, 2.65321895265761230930e-2,
                   1.24266094738807843860e-3, 2.71155556874348757815e-5,
                   2.01033439929228813265e-7) /
        polynomial(r - 5, 1.0, 5.99832206555887937690e-1, 1.36929880922735805310e-1,
                   1.48753612908506148525e-2, 7.86869131145613259100e-4, 1.84631831751005468180e-5,
                   1.42151175831644588870e-7, 2.04426310338993978564e-15);
  }
  return q < 0 ? -x : x;
}

}  // namespace natgrad::formulas
