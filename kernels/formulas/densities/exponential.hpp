#pragma once

#include "kernels/formulas/densities/density.hpp"
#include "natgrad/types.hpp"

#include <cmath>
#include <cstdint>

namespace natgrad::formulas {

/// p(x) = exp(eta^T t(x) - A(eta)) with respect to weights w_q of Q points; a sample is its D
/// statistics t(x). Constants: t of the points (Q, D), log w (Q). `prepared`: A, the mean of t (D),
/// w_q p(x_q) (Q). The score is t less its mean.
struct ExponentialDensity {
  static constexpr DensityFamily family = DensityFamily::exponential;
  static constexpr bool closed = false;
  static constexpr bool quadrature = true;

  static DensityTensors tensors(const DensityShape& shape) { return {{{"eta", shape.dimensions}}}; }
  NATGRAD_FORMULA static std::int64_t parameters(const DensityShape& shape) {
    return shape.dimensions;
  }
  NATGRAD_FORMULA static std::int64_t prepared(const DensityShape& shape) {
    return 1 + shape.dimensions + shape.points;
  }
  NATGRAD_FORMULA static std::int64_t constants(const DensityShape& shape) {
    return shape.points * (shape.dimensions + 1);
  }
  NATGRAD_FORMULA static std::int64_t uniforms(const DensityShape&) { return 1; }
  NATGRAD_FORMULA static std::int64_t nodes(const DensityShape& shape) { return shape.points; }

  NATGRAD_FORMULA static void prepare(const DensityShape& shape, const double* constants,
                                      const double* theta, double* prepared) {
    const std::int64_t d = shape.dimensions;
    const std::int64_t Q = shape.points;
    const double* log_weights = constants + Q * d;
    double* mean = prepared + 1;
    double* p = mean + d;
    double largest = -static_cast<double>(INFINITY);
    for (std::int64_t q = 0; q < Q; ++q) {
      p[q] = inner(theta, constants + q * d, d) + log_weights[q];
      // A NaN stays.
      if (!(p[q] <= largest)) largest = p[q];
    }
    double sum = 0;
    for (std::int64_t q = 0; q < Q; ++q) {
      p[q] = std::exp(p[q] - largest);
      sum += p[q];
    }
    prepared[0] = largest + std::log(sum);
    for (std::int64_t i = 0; i < d; ++i) mean[i] = 0;
    for (std::int64_t q = 0; q < Q; ++q) {
      p[q] /= sum;
      for (std::int64_t i = 0; i < d; ++i) mean[i] += p[q] * constants[q * d + i];
    }
  }

  template <class T>
  NATGRAD_FORMULA static double log_p(const DensityAt& at, const T* x) {
    double sum = 0;
    for (std::int64_t i = 0; i < at.shape.dimensions; ++i) {
      const auto value = static_cast<double>(x[i]);
      sum += at.theta[i] * value + zero_if_finite(value);
    }
    return sum - at.prepared[0];
  }

  template <class T>
  NATGRAD_FORMULA static void score(const DensityAt& at, const T* x, T* score) {
    for (std::int64_t i = 0; i < at.shape.dimensions; ++i) {
      const auto value = static_cast<double>(x[i]);
      score[i] = static_cast<T>(value - at.prepared[1 + i] + zero_if_finite(value));
    }
  }

  /// The first point at which the sum of the probabilities passes the uniform number; never one of
  /// probability 0, also where rounding leaves the whole sum below it.
  template <class T>
  NATGRAD_FORMULA static void sample(const DensityAt& at, const DensityDraws& draws, T* x) {
    const std::int64_t d = at.shape.dimensions;
    const double* p = at.prepared + 1 + d;
    const double threshold = draws.uniform(0);
    std::int64_t drawn = 0;
    double below = 0;
    for (std::int64_t q = 0; q < at.shape.points && below <= threshold; ++q) {
      if (!(p[q] > 0)) continue;
      below += p[q];
      drawn = q;
    }
    for (std::int64_t i = 0; i < d; ++i) {
      x[i] = static_cast<T>(at.constants[drawn * d + i] + zero_if_finite(at.prepared[0]));
    }
  }

  NATGRAD_FORMULA static void place_nodes(const DensityAt& at, double* x, double* weights) {
    const std::int64_t numbers = at.shape.points * at.shape.dimensions;
    for (std::int64_t i = 0; i < numbers; ++i) x[i] = at.constants[i];
    for (std::int64_t q = 0; q < at.shape.points; ++q) {
      weights[q] = std::exp(at.constants[numbers + q]);
    }
  }

 private:
  NATGRAD_FORMULA static double inner(const double* a, const double* b, std::int64_t count) {
    double sum = 0;
    for (std::int64_t i = 0; i < count; ++i) sum += a[i] * b[i];
    return sum;
  }
};

}  // namespace natgrad::formulas
