#pragma once

#include "kernels/formulas/elementary.hpp"
#include "kernels/formulas/formula.hpp"
#include "kernels/formulas/inverse_normal.hpp"

#include <cmath>

namespace natgrad::formulas {

/// One target of mean z[0] and log standard deviation z[1]. F_out = diag(1 / sigma^2, 2). A bound
/// on sigma would be another model: where 1 / sigma^2 overflows, at log sigma < -44 in float and
/// -354 in double, scores are not finite, which a step answers to by not moving.
struct GaussianScale {
  static constexpr int outputs = 2;
  static constexpr bool variance_vanishes = false;

  template <class T>
  NATGRAD_FORMULA static bool in_support(T y) {
    return y * 0 == 0;
  }

  template <class T>
  NATGRAD_FORMULA static void score(const T* z, T y, T* score) {
    const T error = y - z[0];
    score[0] = error * formulas::exp(-2 * z[1]);
    score[1] = error * score[0] - 1;
  }

  NATGRAD_FORMULA static double log_p(const double* z, double y) {
    const double x = (y - z[0]) * formulas::exp(-z[1]);
    return -x * x / 2 - z[1] - half_log_two_pi;
  }

  /// The squared error of the mean.
  NATGRAD_FORMULA static double figure(const double* z, double y) {
    return (y - z[0]) * (y - z[0]);
  }

  NATGRAD_FORMULA static double sample(const double* z, double u) {
    return z[0] + formulas::exp(z[1]) * inverse_normal(u);
  }

  NATGRAD_FORMULA static void information(const double* z, double* F) {
    F[0] = formulas::exp(-2 * z[1]);
    F[1] = 2;
  }

  /// With d = now - z of the log standard deviations: d + (exp(-2 d) - 1) / 2, and the distance of
  /// the means.
  NATGRAD_FORMULA static double kl(const double* z, const double* now) {
    const double d = now[1] - z[1];
    const double x = (now[0] - z[0]) * formulas::exp(-now[1]);
    return d + std::expm1(-2 * d) / 2 + x * x / 2;
  }
};

}  // namespace natgrad::formulas
