#pragma once

#include "kernels/formulas/likelihoods/output_distribution.hpp"
#include "natgrad/array.hpp"
#include "natgrad/types.hpp"

#include <cstdint>

namespace natgrad {

/// What a sample model needs beside matrix products: activations, and distributions p(y | z) of N
/// rows of outputs z (N, C), float or double. A likelihood has K targets y a row, of the type that
/// its row of the table in kernels/formulas/likelihoods/table.hpp says; targets are contiguous.
class ModelOperations {
 public:
  virtual ~ModelOperations() = default;

  /// z += bias (d_out) in every row of z (N, d_out), then a = activation(z). a may be z.
  virtual void bias_activation(Activation activation, const ConstView& bias, const View& z,
                               const View& a) = 0;
  /// delta = delta * activation'(z), with a = activation(z). Of z and a the derivative reads what
  /// its formula needs (z for gelu, a for the others).
  virtual void activation_backward(Activation activation, const ConstView& z, const ConstView& a,
                                   const View& delta) = 0;

  /// score_n = d log p(y_n | z_m) / dz_m, m = n / R. z (N, C), targets (N R, K), score (N R, C) of
  /// the type of z: R rows of targets share one of z. A target outside the support makes its
  /// outputs' scores NaN.
  virtual void likelihood_score(const OutputDistribution& distribution, const ConstView& z,
                                const ConstView& targets, const View& score) = 0;
  /// Draws targets (N draws, K) from p(. | z_n), order row, draw: a function of z_n and of the
  /// uniform numbers that follow from key, counter and place alone
  /// (kernels/formulas/likelihoods/draws.hpp). Where a number of z_n is not finite, they are values
  /// whose score is NaN. `counter`, one-element float64 and a whole number, is then 1 larger: a
  /// replayed call draws anew.
  virtual void likelihood_sample(const OutputDistribution& distribution, const ConstView& z,
                                 std::uint64_t key, std::int64_t draws, const View& counter,
                                 const View& targets) = 0;
  /// log_p_n = log p(y_n | z_n) in nats, float64 (N) over z of either type; NaN for a target
  /// outside the support. z (N, C), targets (N, K).
  virtual void log_likelihood(const OutputDistribution& distribution, const ConstView& z,
                              const ConstView& targets, const View& log_p) = 0;
  /// result[0] = sum_n log p(y_n | z_n), result[1] = sum_n of the likelihood's figure (categorical:
  /// the number of rows whose largest output is the label); float64 (2). z (N, C), targets (N, K).
  virtual void likelihood_evaluate(const OutputDistribution& distribution, const ConstView& z,
                                   const ConstView& targets, const View& result) = 0;
  /// The square root of the Fisher matrix F_n of the outputs z_n: rows [n C, (n + 1) C) are a
  /// matrix S_n with S_n^T S_n = F_n, and S_n^T r_n = d log p(y_n | z_n) / dz_n. F_n is made with
  /// variances no less than the rounding of z's type where an output is saturated against its
  /// target, and is 0 where an output of its own agrees with its target to all digits of that type
  /// (kernels/formulas/likelihoods/variances.hpp).
  /// z (N, C), targets (N, K), rows (N C, C) of the type of z, r (N C) float64; NaN in r_n, not in
  /// the rows, where a target is outside the support.
  virtual void likelihood_exact(const OutputDistribution& distribution, const ConstView& z,
                                const ConstView& targets, const View& rows, const View& r) = 0;
  /// kl_n = KL(p(. | z_n) || p(. | now_n)) in nats, float64 (N) over outputs of either type; z and
  /// now (N, C).
  virtual void likelihood_kl(const OutputDistribution& distribution, const ConstView& z,
                             const ConstView& now, const View& kl) = 0;
};

}  // namespace natgrad
