#pragma once

#include "kernels/formulas/formula.hpp"
#include "kernels/formulas/inverse_normal.hpp"
#include "kernels/formulas/likelihoods/output_distribution.hpp"

#include <cmath>

namespace natgrad::formulas {

/// One target of mean z and a fixed standard deviation sigma: log p(y) = -((y - z) / sigma)^2 / 2 -
/// log sigma - log(2 pi) / 2.
struct Gaussian {
  static constexpr int outputs = 1;
  static constexpr bool variance_vanishes = false;
  double sigma;

  explicit Gaussian(const OutputDistribution& distribution) : sigma(distribution.sigma) {}

  template <class T>
  NATGRAD_FORMULA static bool in_support(T y) {
    return y * 0 == 0;
  }

  template <class T>
  NATGRAD_FORMULA void score(const T* z, T y, T* score) const {
    score[0] = (y - z[0]) * static_cast<T>(1 / (sigma * sigma));
  }

  NATGRAD_FORMULA double log_p(const double* z, double y) const {
    const double x = (y - z[0]) / sigma;
    return -x * x / 2 - std::log(sigma) - half_log_two_pi;
  }

  /// The squared error.
  NATGRAD_FORMULA static double figure(const double* z, double y) {
    return (y - z[0]) * (y - z[0]);
  }

  NATGRAD_FORMULA double sample(const double* z, double u) const {
    return z[0] + sigma * inverse_normal(u);
  }

  NATGRAD_FORMULA void information(const double*, double* F) const { F[0] = 1 / (sigma * sigma); }

  NATGRAD_FORMULA double kl(const double* z, const double* now) const {
    const double x = (now[0] - z[0]) / sigma;
    return x * x / 2;
  }
};

}  // namespace natgrad::formulas
