#pragma once

#include "kernels/formulas/densities/density.hpp"
#include "natgrad/types.hpp"

#include <cmath>
#include <cstdint>

// The normal distribution N(m, s^2) of one number in three parameterizations. `prepared` holds m, s
// and log s, NaN where theta is outside of the domain. With z = (x - m) / s the derivatives of log
// p with respect to m and log s are z / s and z^2 - 1, and F in these two is diag(1 / s^2, 2).

namespace natgrad::formulas {

/// What the parameterizations have in common.
struct UnivariateGaussian {
  static constexpr bool closed = true;
  static constexpr bool quadrature = false;
  NATGRAD_FORMULA static std::int64_t parameters(const DensityShape&) { return 2; }
  NATGRAD_FORMULA static std::int64_t prepared(const DensityShape&) { return 3; }
  NATGRAD_FORMULA static std::int64_t constants(const DensityShape&) { return 0; }
  NATGRAD_FORMULA static std::int64_t uniforms(const DensityShape&) { return 2; }

  template <class T>
  NATGRAD_FORMULA static double log_p(const DensityAt& at, const T* x) {
    const double z = standardized(at, x);
    return -(z * z + log_two_pi) / 2 - at.prepared[2];
  }

  template <class T>
  NATGRAD_FORMULA static void sample(const DensityAt& at, const DensityDraws& draws, T* x) {
    *x = static_cast<T>(at.prepared[0] + at.prepared[1] * draws.normal(0));
  }

  /// log(s' / s) + (s^2 + (m - m')^2) / (2 s'^2) - 1/2.
  NATGRAD_FORMULA static double kl(const DensityAt& at, const DensityAt& other) {
    const double growth = std::expm1(2 * (at.prepared[2] - other.prepared[2]));
    const double shift = (at.prepared[0] - other.prepared[0]) / other.prepared[1];
    return (growth - std::log1p(growth) + shift * shift) / 2;
  }

 protected:
  /// z, NaN for x that is not finite.
  template <class T>
  NATGRAD_FORMULA static double standardized(const DensityAt& at, const T* x) {
    const auto value = static_cast<double>(*x);
    return (value - at.prepared[0]) / at.prepared[1] + zero_if_finite(value);
  }
  NATGRAD_FORMULA static void prepare_scale(double mean, double scale, double* prepared) {
    const bool inside = scale > 0;
    prepared[0] = inside ? mean : static_cast<double>(NAN);
    prepared[1] = inside ? scale : static_cast<double>(NAN);
    prepared[2] = inside ? std::log(scale) : static_cast<double>(NAN);
  }
};

/// theta = (m, s).
struct GaussianScaleDensity : UnivariateGaussian {
  static constexpr DensityFamily family = DensityFamily::gaussian_scale;

  static DensityTensors tensors(const DensityShape&) {
    return {{{"mean", 1}, {"scale", 1, 1, 1, 1}}};
  }
  NATGRAD_FORMULA static void prepare(const DensityShape&, const double*, const double* theta,
                                      double* prepared) {
    prepare_scale(theta[0], theta[1], prepared);
  }
  template <class T>
  NATGRAD_FORMULA static void score(const DensityAt& at, const T* x, T* score) {
    const double z = standardized(at, x);
    score[0] = static_cast<T>(z / at.prepared[1]);
    score[1] = static_cast<T>((z * z - 1) / at.prepared[1]);
  }
  NATGRAD_FORMULA static void fisher(const DensityAt& at, double* rows) {
    rows[0] = 1 / at.prepared[1];
    rows[1] = 0;
    rows[2] = 0;
    rows[3] = sqrt_two / at.prepared[1];
  }
};

/// theta = (m, log s).
struct GaussianLogScaleDensity : UnivariateGaussian {
  static constexpr DensityFamily family = DensityFamily::gaussian_log_scale;

  static DensityTensors tensors(const DensityShape&) { return {{{"mean", 1}, {"log_scale", 1}}}; }
  NATGRAD_FORMULA static void prepare(const DensityShape&, const double*, const double* theta,
                                      double* prepared) {
    prepared[0] = theta[0];
    prepared[1] = std::exp(theta[1]);
    prepared[2] = theta[1];
  }
  template <class T>
  NATGRAD_FORMULA static void score(const DensityAt& at, const T* x, T* score) {
    const double z = standardized(at, x);
    score[0] = static_cast<T>(z / at.prepared[1]);
    score[1] = static_cast<T>(z * z - 1);
  }
  NATGRAD_FORMULA static void fisher(const DensityAt& at, double* rows) {
    rows[0] = 1 / at.prepared[1];
    rows[1] = 0;
    rows[2] = 0;
    rows[3] = sqrt_two;
  }
};

/// theta = (eta1, eta2), m = -eta1 / (2 eta2), s^2 = -1 / (2 eta2): the score is (x, x^2) less its
/// mean (m, m^2 + s^2), and F = L L^T with L = (s, 0; 2 m s, sqrt(2) s^2).
struct GaussianNaturalDensity : UnivariateGaussian {
  static constexpr DensityFamily family = DensityFamily::gaussian_natural;

  static DensityTensors tensors(const DensityShape&) {
    return {{{"eta1", 1}, {"eta2", 1, 1, -0.5, -0.5}}};
  }
  NATGRAD_FORMULA static void prepare(const DensityShape&, const double*, const double* theta,
                                      double* prepared) {
    const double square = -1 / (2 * theta[1]);
    prepare_scale(theta[0] * square, std::sqrt(square), prepared);
  }
  template <class T>
  NATGRAD_FORMULA static void score(const DensityAt& at, const T* x, T* score) {
    const double z = standardized(at, x);
    const double scale = at.prepared[1];
    score[0] = static_cast<T>(scale * z);
    score[1] = static_cast<T>(scale * (scale * (z * z - 1) + 2 * at.prepared[0] * z));
  }
  NATGRAD_FORMULA static void fisher(const DensityAt& at, double* rows) {
    const double scale = at.prepared[1];
    rows[0] = scale;
    rows[1] = 2 * at.prepared[0] * scale;
    rows[2] = 0;
    rows[3] = sqrt_two * scale * scale;
  }
};

}  // namespace natgrad::formulas
