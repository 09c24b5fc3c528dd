// A generalized linear model by exact Fisher rows: logistic regression, z = w x + b. F comes from
// one set of rows, the gradient from another, so that nothing is divided by p (1 - p), which is 0
// in double where the model is sure: the last sample is so far out that p = 1 after a few steps,
// and its exact row is zero. Without damping, at a rate of 1, the steps are those of iteratively
// reweighted least squares. The program ends well when it finds the estimate, w = 2 log 3 and b =
// -log 3.
#include <natgrad/natgrad.hpp>

#include <cmath>
#include <cstdio>
#include <vector>

int main() {
  constexpr int N = 9;
  std::vector<double> x = {0, 0, 0, 0, 1, 1, 1, 1, 50}, y = {1, 0, 0, 0, 1, 1, 1, 0, 1};
  std::vector<double> w(1), b(1), root(N), score(N);
  natgrad::Parameters parameters(natgrad::Context::cpu());
  const natgrad::Segment weight = parameters.add({w.data(), {1}}, "w");
  const natgrad::Segment bias = parameters.add({b.data(), {1}}, "b");
  natgrad::NaturalGradient optimizer(parameters, {.damping = {.absolute = 0},
                                                  .step = natgrad::FixedRate{1},
                                                  .momentum = natgrad::NoMomentum{}});
  for (int step = 0; step < 12; ++step) {
    for (int n = 0; n < N; ++n) {
      const double p = 1 / (1 + std::exp(-(w[0] * x[n] + b[0])));
      root[n] = std::sqrt(p * (1 - p));  // of the output's Fisher information
      score[n] = y[n] - p;               // d log p(y) / dz
    }
    // [shown]
    // Both sets have dz/dtheta = (x, 1). `exact`: times the root of the variance p (1 - p), so that
    // S^T S is the Fisher matrix; `data`: times the score y - p, so that the sum of the rows is the
    // gradient. A weight of 1: of the sum over the samples.
    natgrad::LayerScores exact(parameters, {.kind = natgrad::FisherKind::exact});
    natgrad::LayerScores data(parameters);
    exact.begin({.samples = N, .weight = 1});
    data.begin({.samples = N, .weight = 1});
    const natgrad::LayerScores::Layer layer{
        .weight = weight, .bias = bias, .input = {x.data(), {N}}};
    const auto times = [&](const std::vector<double>& factor) {
      natgrad::LayerScores::Layer with = layer;
      with.output_score = {factor.data(), {N}};
      return with;
    };
    exact.add(times(root));
    data.add(times(score));
    optimizer.step({.fisher = exact, .gradient = data});
    // [end]
  }
  const double error = std::abs(w[0] - 2 * std::log(3)) + std::abs(b[0] + std::log(3));
  std::printf("w = %.6f, b = %.6f, p of the last sample differs from 1 by %.3g\n", w[0], b[0],
              std::exp(-(50 * w[0] + b[0])));
  return error < 1e-10 && root[N - 1] == 0 ? 0 : 1;
}
