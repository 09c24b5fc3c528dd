#pragma once

#include "core/context_state.hpp"
#include "natgrad/natgrad.hpp"
#include "support/device.hpp"
#include "support/layered_batch.hpp"
#include "support/plain.hpp"

#include <cmath>
#include <cstddef>
#include <cstdint>

namespace natgrad::tests {

/// Least squares: L(theta) = 1/2 sum_n (J theta - y)_n^2 / N, whose Hessian is F of the rows J_n
/// and whose gradient is -S^T r of the coefficients y - J theta. The parameters are two tensors,
/// (3, 2) with padding and (2), in double.
struct LeastSquares {
  static constexpr std::size_t size = 8;  // P
  static constexpr std::size_t samples = 14;

  Context context;
  Tensor<double> weight{Random(81).table(3, 2), 1};
  Tensor<double> bias{Random(82).numbers(2)};
  Table J = Random(83).table(samples, size);
  Numbers y = Random(84).numbers(samples);
  Parameters parameters;
  DenseScores rows;
  // Of the callable, on the device.
  Tensor<double> device_J{J};
  Tensor<double> device_y{y};
  Tensor<double> theta_copy = zeros<double>(size);
  Tensor<double> residual = zeros<double>(samples);
  Tensor<double> coefficients = zeros<double>(samples);
  Tensor<double> gradient_numbers = zeros<double>(size);
  int calls = 0;  // of the loss

  explicit LeastSquares(const Context& where = test_context(),
                        FisherKind kind = FisherKind::residual)
      : context(where), parameters(context), rows((add_tensors(), parameters), {.kind = kind}) {}
  LeastSquares(const LeastSquares&) = delete;
  LeastSquares& operator=(const LeastSquares&) = delete;

  Numbers theta() const {
    Numbers all = weight.numbers();
    const Numbers more = bias.numbers();
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }
  void set_theta(const Numbers& values) {
    for (std::size_t i = 0; i < 6; ++i) weight(i / 2, i % 2) = values[i];
    for (std::size_t i = 0; i < 2; ++i) bias(i) = values[6 + i];
  }
  /// y - J theta.
  Numbers residuals(const Numbers& at) const { return sum(-1, multiply(J, at), y); }
  double loss_at(const Numbers& at) const {
    const Numbers r = residuals(at);
    return dot(r, r) / (2.0 * samples);
  }
  /// -dL/dtheta.
  Numbers uphill(const Numbers& at) const {
    Numbers g = multiply(transposed(J), residuals(at));
    for (double& element : g) element /= samples;
    return g;
  }
  Numbers fisher_times(const Numbers& v) const {
    Numbers product = multiply(transposed(J), multiply(J, v));
    for (double& element : product) element /= samples;
    return product;
  }
  Table fisher() const { return gram(transposed(weighted(J, Numbers(samples, 1.0 / samples)))); }

  /// Enqueues the loss at the parameters as they are.
  void measure(const View& result) {
    ++calls;
    Backend& backend = context.state().backend();
    parameters.gather(theta_copy.view());
    const View r = residual.view();
    backend.copy(device_y.view(), r);
    backend.gemm(Transpose::no, Transpose::no, 1, device_J.view(), theta_copy.view(), -1, r);
    backend.dot(r, r, result);
    backend.axpby(0.0, result, 0.5 / samples, result);
  }
  /// Enqueues J theta - y.
  BatchFunction measured_residuals() {
    return [this](const View& result) {
      Backend& backend = context.state().backend();
      parameters.gather(theta_copy.view());
      backend.copy(device_y.view(), result);
      backend.gemm(Transpose::no, Transpose::no, 1, device_J.view(), theta_copy.view(), -1, result);
    };
  }
  BatchFunction loss() {
    return [this](const View& result) { measure(result); };
  }
  /// Rows and gradient at the parameters as they are; the gradient as numbers where asked for.
  Batch batch(const BatchFunction& function, bool numbers = false) {
    coefficients = Tensor<double>(residuals(theta()));
    rows.begin(device_J.view(), {.coefficients = coefficients.view()});
    if (!numbers) return {.fisher = rows, .loss = function, .residuals = measured_residuals()};
    gradient_numbers = Tensor<double>(uphill(theta()));
    return {.fisher = rows, .gradient = Gradient{gradient_numbers.view()}, .loss = function};
  }
  Batch batch(bool numbers = false) { return batch(loss(), numbers); }

 private:
  void add_tensors() {
    parameters.add(weight.view(), "weight");
    parameters.add(bias.view(), "bias");
  }
};

/// v^T F w.
inline double fisher_form(const LeastSquares& model, const Numbers& v, const Numbers& w) {
  return dot(v, model.fisher_times(w));
}

}  // namespace natgrad::tests
