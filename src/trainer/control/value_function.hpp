#pragma once

#include "natgrad/array.hpp"
#include "natgrad/context.hpp"
#include "natgrad/natural_gradient.hpp"
#include "natgrad/parameters.hpp"
#include "natgrad/scores.hpp"
#include "trainer/control/pole.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace natgrad::trainer {

/// V(s) = w . phi(s), phi the 15 monomials of at most second order in the four features of a state:
/// the baseline of a policy gradient. It is fitted by least squares with the library itself: rows
/// phi(s_n), the Jacobian of the residuals V(s_n) - target_n, of `FisherKind::residual`, and a
/// Gauss-Newton step of rate 1, which solves a linear problem at once.
class ValueFunction {
 public:
  static constexpr std::size_t size = 15;
  using Weights = std::array<double, size>;

  /// V = 0. `largest`: the most states of a fit.
  ValueFunction(const Context& context, std::int64_t largest);

  double at(const PoleState& state) const;

  /// Moves w to argmin sum_n (V(s_n) - target_n)^2 / N + damping |w - w_before|^2, N at most
  /// `largest`. `distances`: target_n - V(s_n). Where the step fails w stays. Waits.
  void fit(const std::vector<PoleState>& states, const std::vector<double>& distances);

  const Weights& weights() const { return weights_; }
  void set_weights(const Weights& weights);

  /// Bytes on the device, but for scratch.
  std::int64_t bytes() const;

 private:
  Context context_;
  std::int64_t largest_;
  Array theta_;      // (15)
  Array rows_;       // (largest, 15)
  Array distances_;  // (largest)
  Parameters parameters_;
  DenseScores scores_;
  NaturalGradient optimizer_;
  Weights weights_{};  // what theta_ holds
};

}  // namespace natgrad::trainer
