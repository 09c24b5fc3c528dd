#pragma once

#include "kernels/formulas/densities/density.hpp"
#include "natgrad/array.hpp"
#include "natgrad/types.hpp"

#include <cstdint>

namespace natgrad {

/// Densities p(x | theta) without inputs at N samples x (N, D), float or double. `at` holds theta
/// in double, and what `formulas::PrepareDensity` has made of it before. Scores are (N, P) of the
/// type of x; the arithmetic is double.
class DensityOperations {
 public:
  virtual ~DensityOperations() = default;

  /// log_p_n = log p(x_n | theta) in nats, float64 (N); NaN outside of the support.
  virtual void density_log_p(DensityFamily family, const DensityAt& density, const ConstView& x,
                             const View& log_p) = 0;
  /// score_n = d log p(x_n | theta) / d theta, and with weights, float64 (N), of a quadrature
  /// sqrt(weight_n p(x_n)) times it: rows of the Fisher matrix; zeros where that factor is 0.
  virtual void density_score(DensityFamily family, const DensityAt& density, const ConstView& x,
                             const ConstView& weights, const View& score) = 0;
  /// Draws x_n from p, a function of theta and of the uniform numbers that follow from key, counter
  /// and n alone (kernels/formulas/densities/density.hpp); NaN where theta is outside of its
  /// domain. `counter`, one-element float64 and a whole number, is then 1 larger.
  virtual void density_sample(DensityFamily family, const DensityAt& density, std::uint64_t key,
                              const View& counter, const View& x) = 0;
};

}  // namespace natgrad
