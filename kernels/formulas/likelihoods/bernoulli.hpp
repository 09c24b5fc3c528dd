#pragma once

#include "kernels/formulas/elementary.hpp"
#include "kernels/formulas/formula.hpp"

#include <cmath>

namespace natgrad::formulas {

/// One target in [0, 1] of log-odds z: log p(y) = y log p + (1 - y) log(1 - p), p = 1 / (1 +
/// exp(-z)). Between 0 and 1 a target counts as y ones and 1 - y zeros (Hinton, Salakhutdinov 2006,
/// for the intensities of an auto-encoder); then its log p is the cross entropy, and F and KL are
/// those of the coin itself.
struct Bernoulli {
  static constexpr int outputs = 1;
  static constexpr bool variance_vanishes = true;

  template <class T>
  NATGRAD_FORMULA static bool in_support(T y) {
    return y >= 0 && y <= 1;
  }

  template <class T>
  NATGRAD_FORMULA static void score(const T* z, T y, T* score) {
    // y (1 - p) - (1 - y) p, which of a one or a zero keeps all digits where it is small.
    const T e = formulas::exp(-magnitude(z[0]));
    const T likely = 1 / (1 + e);
    const T unlikely = e / (1 + e);
    const bool positive = z[0] > 0;
    score[0] = y * (positive ? unlikely : likely) - (1 - y) * (positive ? likely : unlikely);
  }

  NATGRAD_FORMULA static double log_p(const double* z, double y) {
    return y * z[0] - softplus(z[0]);
  }

  /// 1 where target and p(1) are on one side of 1/2; a target of 1/2 is on the side of 0.
  NATGRAD_FORMULA static double figure(const double* z, double y) {
    return (z[0] > 0) == (y > 0.5) ? 1 : 0;
  }

  NATGRAD_FORMULA static double sample(const double* z, double u) {
    return u < probability(z[0]) ? 1 : 0;
  }

  /// p (1 - p).
  NATGRAD_FORMULA static void information(const double* z, double* F) {
    const double e = formulas::exp(-magnitude(z[0]));
    F[0] = e / ((1 + e) * (1 + e));
  }

  /// With d = now - z: log(1 + p (exp(d) - 1)) - p d, which for small d keeps what a difference of
  /// two logarithms would lose.
  NATGRAD_FORMULA static double kl(const double* z, const double* now) {
    const double p = probability(z[0]);
    const double d = now[0] - z[0];
    if (magnitude(d) < 1) return std::log1p(p * std::expm1(d)) - p * d;
    return softplus(now[0]) - softplus(z[0]) - p * d;
  }

 private:
  template <class T>
  NATGRAD_FORMULA static T probability(T z) {
    return 1 / (1 + formulas::exp(-z));
  }
  /// log(1 + exp(z)).
  NATGRAD_FORMULA static double softplus(double z) {
    return (z > 0 ? z : 0) + std::log1p(formulas::exp(-magnitude(z)));
  }
};

}  // namespace natgrad::formulas
