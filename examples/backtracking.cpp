// A rule that compares losses: the least-squares fit of y = a exp(-b t) from a start at which the
// step of Gauss and Newton is too long. The program ends well when the curve is found.
#include <natgrad/natgrad.hpp>

#include <cmath>
#include <cstdio>
#include <vector>

int main() {
  constexpr int N = 6, P = 2;
  const std::vector<double> t = {0, 1, 2, 3, 4, 5};
  std::vector<double> theta = {1, 3}, y(N), rows(N * P), coefficients(N);
  for (int n = 0; n < N; ++n) y[n] = 5 * std::exp(-0.4 * t[n]);
  natgrad::Parameters parameters(natgrad::Context::cpu());
  parameters.add({theta.data(), {P}}, "theta");
  natgrad::NaturalGradient optimizer(parameters, {.damping = {.absolute = 1e-6},
                                                  .step = natgrad::Backtracking{},
                                                  .momentum = natgrad::NoMomentum{}});
  natgrad::DenseScores scores(parameters, {.kind = natgrad::FisherKind::residual});

  const auto residual = [&](int n) { return theta[0] * std::exp(-theta[1] * t[n]) - y[n]; };
  for (int step = 0; step < 30; ++step) {
    for (int n = 0; n < N; ++n) {
      rows[P * n] = std::exp(-theta[1] * t[n]);
      rows[P * n + 1] = -theta[0] * t[n] * rows[P * n];
      coefficients[n] = -residual(n);
    }
    scores.begin({rows.data(), {N, P}}, {.coefficients = {coefficients.data(), {N}}});
    // [shown]
    // The loss at theta as it then stands: half the mean square, whose gradient is -S^T r.
    const auto loss = [&](const natgrad::View& result) {
      double sum = 0;
      for (int n = 0; n < N; ++n) sum += residual(n) * residual(n);
      *result.as<double>() = sum / (2 * N);  // on a GPU a kernel on the context's stream
    };
    optimizer.step({.fisher = scores, .loss = loss});
    // [end]
  }
  const natgrad::StepReport last = optimizer.report();
  std::printf("%.4f exp(-%.4f t), loss %.3g\n", theta[0], theta[1], last.loss_after.value_or(1));
  return std::abs(theta[0] - 5) < 1e-4 && std::abs(theta[1] - 0.4) < 1e-4 ? 0 : 1;
}
