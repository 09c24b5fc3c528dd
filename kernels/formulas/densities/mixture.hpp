#pragma once

#include "kernels/formulas/densities/density.hpp"
#include "kernels/formulas/densities/quadrature.hpp"
#include "natgrad/types.hpp"

#include <cmath>
#include <cstdint>

namespace natgrad::formulas {

/// p(x) = sum_k pi_k N(x; m_k, diag(exp(l_k))^2) of D numbers; theta = (logits of all components
/// but the last, whose logit is 0; m (K, D); l (K, D)). `prepared`: log pi_k (K), log pi_k less the
/// logarithm of the normal density's factor (K), exp(-l) (K, D).
///
/// With the responsibilities r_k = pi_k N_k / p and z = (x - m) exp(-l), log p has the derivatives
/// r_k - pi_k in the logits, r_k z exp(-l) in m and r_k (z^2 - 1) in l.
struct MixtureDensity {
  static constexpr DensityFamily family = DensityFamily::mixture;
  static constexpr bool closed = false;
  static constexpr bool quadrature = true;

  static DensityTensors tensors(const DensityShape& shape) {
    const std::int64_t K = shape.components;
    const std::int64_t d = shape.dimensions;
    return {{{"logits", K - 1}, {"means", K, d, -1, 1}, {"log_scales", K, d}}};
  }
  NATGRAD_FORMULA static std::int64_t parameters(const DensityShape& shape) {
    return shape.components - 1 + 2 * shape.components * shape.dimensions;
  }
  NATGRAD_FORMULA static std::int64_t prepared(const DensityShape& shape) {
    return 2 * shape.components + shape.components * shape.dimensions;
  }
  NATGRAD_FORMULA static std::int64_t constants(const DensityShape&) { return 0; }
  NATGRAD_FORMULA static std::int64_t uniforms(const DensityShape& shape) {
    return 2 + 2 * shape.dimensions;
  }
  /// Points of the quadrature; 0: none, because D > 1.
  NATGRAD_FORMULA static std::int64_t nodes(const DensityShape& shape) {
    return shape.dimensions == 1 ? PanelRule::nodes(breaks_of_each * shape.components) : 0;
  }

  NATGRAD_FORMULA static void prepare(const DensityShape& shape, const double*, const double* theta,
                                      double* prepared) {
    const std::int64_t K = shape.components;
    const std::int64_t d = shape.dimensions;
    const double* log_scales = theta + K - 1 + K * d;
    double largest = 0;
    for (std::int64_t k = 0; k + 1 < K; ++k) {
      if (theta[k] > largest) largest = theta[k];
    }
    double sum = std::exp(-largest);
    for (std::int64_t k = 0; k + 1 < K; ++k) sum += std::exp(theta[k] - largest);
    const double log_sum = largest + std::log(sum);
    for (std::int64_t k = 0; k < K; ++k) {
      prepared[k] = (k + 1 < K ? theta[k] : 0) - log_sum;
      double factor = prepared[k];
      for (std::int64_t i = 0; i < d; ++i) {
        factor -= log_two_pi / 2 + log_scales[k * d + i];
        prepared[2 * K + k * d + i] = std::exp(-log_scales[k * d + i]);
      }
      prepared[K + k] = factor;
    }
  }

  template <class T>
  NATGRAD_FORMULA static double log_p(const DensityAt& at, const T* x) {
    const std::int64_t K = at.shape.components;
    double largest = log_of_component(at, x, 0);
    for (std::int64_t k = 1; k < K; ++k) {
      const double value = log_of_component(at, x, k);
      // A NaN stays.
      if (!(value <= largest)) largest = value;
    }
    double sum = 0;
    for (std::int64_t k = 0; k < K; ++k) sum += std::exp(log_of_component(at, x, k) - largest);
    return largest + std::log(sum);
  }

  template <class T>
  NATGRAD_FORMULA static void score(const DensityAt& at, const T* x, T* score) {
    const std::int64_t K = at.shape.components;
    const std::int64_t d = at.shape.dimensions;
    const double* inverse_scales = at.prepared + 2 * K;
    const double log_sum = log_p(at, x);
    T* means = score + K - 1;
    T* log_scales = means + K * d;
    for (std::int64_t k = 0; k < K; ++k) {
      const double r = std::exp(log_of_component(at, x, k) - log_sum);
      if (k + 1 < K) score[k] = static_cast<T>(r - std::exp(at.prepared[k]));
      for (std::int64_t i = 0; i < d; ++i) {
        const std::int64_t j = k * d + i;
        const double z = standardized(at, x, k, i);
        // Not 0 times a square that has overflowed.
        means[j] = static_cast<T>(r == 0 ? 0 : r * (z * inverse_scales[j]));
        log_scales[j] = static_cast<T>(r == 0 ? 0 : r * (z * z - 1));
      }
    }
  }

  template <class T>
  NATGRAD_FORMULA static void sample(const DensityAt& at, const DensityDraws& draws, T* x) {
    const std::int64_t K = at.shape.components;
    const std::int64_t d = at.shape.dimensions;
    const double threshold = draws.uniform(0);
    std::int64_t k = 0;
    double below = std::exp(at.prepared[0]);
    while (below <= threshold && k + 1 < K) below += std::exp(at.prepared[++k]);
    for (std::int64_t i = 0; i < d; ++i) {
      const std::int64_t j = k * d + i;
      const double scale = 1 / at.prepared[2 * K + j];
      // Weights that are no numbers name no component.
      x[i] = static_cast<T>(at.theta[K - 1 + j] + scale * draws.normal(2 + 2 * i) +
                            zero_if_finite(below));
    }
  }

  /// Breaks at m_k + t exp(l_k), t = -10, -9.5, ..., 10, of every component: pieces are nowhere
  /// wider than half of the scale of a component that has mass there, and beyond them there is a
  /// share of 1e-22.
  NATGRAD_FORMULA static void place_nodes(const DensityAt& at, double* x, double* weights) {
    const std::int64_t K = at.shape.components;
    const std::int64_t breaks = breaks_of_each * K;
    for (std::int64_t i = 0; i < breaks; ++i) {
      const std::int64_t k = i / breaks_of_each;
      constexpr std::int64_t middle = breaks_of_each / 2;
      const double t = static_cast<double>(i % breaks_of_each - middle) / 2;
      x[i] = at.theta[K - 1 + k] + t / at.prepared[2 * K + k];
    }
    PanelRule::sort(x, breaks);
    PanelRule::place(x, breaks, weights);
  }

 private:
  static constexpr std::int64_t breaks_of_each = 41;

  template <class T>
  NATGRAD_FORMULA static double standardized(const DensityAt& at, const T* x, std::int64_t k,
                                             std::int64_t i) {
    const std::int64_t K = at.shape.components;
    const std::int64_t j = k * at.shape.dimensions + i;
    const auto value = static_cast<double>(x[i]);
    return (value - at.theta[K - 1 + j]) * at.prepared[2 * K + j] + zero_if_finite(value);
  }

  /// log(pi_k N(x; m_k, ...)).
  template <class T>
  NATGRAD_FORMULA static double log_of_component(const DensityAt& at, const T* x, std::int64_t k) {
    double sum = 0;
    for (std::int64_t i = 0; i < at.shape.dimensions; ++i) {
      const double z = standardized(at, x, k, i);
      sum += z * z;
    }
    return at.prepared[at.shape.components + k] - sum / 2;
  }
};

}  // namespace natgrad::formulas
