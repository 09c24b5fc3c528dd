#pragma once

#include "kernels/formulas/elementary.hpp"
#include "kernels/formulas/formula.hpp"
#include "kernels/formulas/inverse_normal.hpp"

#include <cmath>

namespace natgrad::formulas {

/// One count y = 0, 1, 2, ... of rate exp(z): log p(y) = y z - exp(z) - log y!.
struct Poisson {
  static constexpr int outputs = 1;
  static constexpr bool variance_vanishes = true;

  template <class T>
  NATGRAD_FORMULA static bool in_support(T y) {
    return y >= 0 && y * 0 == 0 && std::floor(y) == y;
  }

  template <class T>
  NATGRAD_FORMULA static void score(const T* z, T y, T* score) {
    score[0] = y - formulas::exp(z[0]);
  }

  NATGRAD_FORMULA static double log_p(const double* z, double y) {
    return y * z[0] - formulas::exp(z[0]) - log_factorial(y);
  }

  /// The squared error of the rate.
  NATGRAD_FORMULA static double figure(const double* z, double y) {
    const double error = y - formulas::exp(z[0]);
    return error * error;
  }

  /// The smallest y whose distribution function is above u, summed term by term, for rates up to
  /// `largest_summed`. Above it that quantile by its expansion about the normal one (Cornish,
  /// Fisher 1938), rounded: mean and variance are those of the distribution, and the skewness is
  /// matched.
  NATGRAD_FORMULA static double sample(const double* z, double u) {
    const double rate = formulas::exp(z[0]);
    if (!(rate <= largest_summed)) {
      const double x = inverse_normal(u);
      return std::floor(rate + std::sqrt(rate) * x + (x * x - 1) / 6 + 0.5);
    }
    double y = 0;
    double p = formulas::exp(-rate);
    double below = p;
    // Rounding may leave the sum of all terms below u: what follows then is too small to count.
    while (below <= u && (y < rate || p > 0x1p-60)) {
      y += 1;
      p *= rate / y;
      below += p;
    }
    return y;
  }

  /// The rate.
  NATGRAD_FORMULA static void information(const double* z, double* F) {
    F[0] = formulas::exp(z[0]);
  }

  /// With d = now - z: rate (exp(d) - 1 - d).
  NATGRAD_FORMULA static double kl(const double* z, const double* now) {
    const double d = now[0] - z[0];
    const double rate = formulas::exp(z[0]);
    if (magnitude(d) < 1) return rate * (std::expm1(d) - d);
    return formulas::exp(now[0]) - rate - rate * d;
  }

  static constexpr double largest_summed = 256;

  /// log y! of a whole number y >= 0. A product up to 15!, which is exact; then Stirling's series,
  /// whose first term that is left out is below 2e-16 at y = 16. Not lgamma, which differs between
  /// host and device, and on the host writes a global variable.
  NATGRAD_FORMULA static double log_factorial(double y) {
    if (y < 16) {
      double product = 1;
      for (int i = 2; i <= static_cast<int>(y); ++i) product *= i;
      return std::log(product);
    }
    const double inverse = 1 / y;
    const double square = inverse * inverse;
    const double series =
        polynomial(square, 1.0 / 12, -1.0 / 360, 1.0 / 1260, -1.0 / 1680, 1.0 / 1188);
    return (y + 0.5) * std::log(y) - y + half_log_two_pi + inverse * series;
  }
};

}  // namespace natgrad::formulas
