// What a loop learns of its steps, and what a failed step leaves behind. Linear regression in which
// one batch of twenty holds a NaN: its step is `not_finite` and changes nothing, the others go on.
// The program ends well when exactly that step was not taken and the fit is w = (2, -1).
#include <natgrad/natgrad.hpp>

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <limits>
#include <vector>

int main() {
  constexpr int N = 12, D = 2, steps = 20;
  std::vector<double> x(N * D), y(N), w(D), ones(N, 1.0), residual(N);
  for (int n = 0; n < N; ++n) {
    x[D * n] = std::sin(n);
    x[D * n + 1] = std::cos(2 * n);
    y[n] = 2 * x[D * n] - x[D * n + 1];
  }
  natgrad::Parameters parameters(natgrad::Context::cpu());
  const natgrad::Segment weight = parameters.add({w.data(), {1, D}}, "w");
  natgrad::NaturalGradient optimizer(parameters, {.damping = {.absolute = 1e-3},
                                                  .step = natgrad::FixedRate{1},
                                                  .momentum = natgrad::NoMomentum{}});
  natgrad::LayerScores scores(parameters, {.kind = natgrad::FisherKind::exact});

  std::vector<std::int64_t> failed;
  for (int step = 1; step <= steps; ++step) {
    for (int n = 0; n < N; ++n) residual[n] = y[n] - w[0] * x[D * n] - w[1] * x[D * n + 1];
    if (step == 7) residual[3] = std::numeric_limits<double>::quiet_NaN();
    scores.begin({.samples = N, .coefficients = {residual.data(), {N}}});
    scores.add({.weight = weight, .input = {x.data(), {N, D}}, .output_score = {ones.data(), {N}}});
    optimizer.step(scores);
    // [shown]
    for (const natgrad::StepReport& report : optimizer.reports()) {  // of the steps that finished
      if (report.outcome != natgrad::Outcome::accepted) failed.push_back(report.step);
      std::printf("step %2d %-10s rate %g, lambda %g, d^T F d %.1e, residual %.0e, error <= %.0e\n",
                  static_cast<int>(report.step), to_string(report.outcome), report.rate,
                  report.damping, report.quadratic_form, report.residual, report.error_bound);
    }
    // [end]
  }
  const bool alone = failed == std::vector<std::int64_t>{7};
  return alone && std::abs(w[0] - 2) < 1e-6 && std::abs(w[1] + 1) < 1e-6 ? 0 : 1;
}
