// A gradient that is not a combination of the rows: logistic regression with the penalty |w|^4 / 4,
// which has no rows of its own. F comes from the scores, the gradient is an array of P numbers. The
// program ends well when the gradient of the penalized loss has vanished.
#include <natgrad/natgrad.hpp>

#include <cmath>
#include <cstdio>
#include <vector>

int main() {
  constexpr int N = 4, P = 2;
  std::vector<double> x = {0, 1, 1, 1, 2, 0, 3, 2}, y = {0, 0, 1, 1}, w(P), score(N), gradient(P);
  natgrad::Parameters parameters(natgrad::Context::cpu());
  const natgrad::Segment weight = parameters.add({w.data(), {1, P}}, "w");
  natgrad::NaturalGradient optimizer(
      parameters, {.damping = {.absolute = 1}, .momentum = natgrad::NoMomentum{}});
  natgrad::LayerScores scores(parameters);

  const auto forward_backward = [&] {
    const double square = w[0] * w[0] + w[1] * w[1];
    for (int i = 0; i < P; ++i) gradient[i] = square * w[i];
    for (int n = 0; n < N; ++n) {
      score[n] = y[n] - 1 / (1 + std::exp(-(w[0] * x[2 * n] + w[1] * x[2 * n + 1])));
      for (int i = 0; i < P; ++i) gradient[i] -= score[n] * x[2 * n + i] / N;
    }
    return std::hypot(gradient[0], gradient[1]);
  };
  const double before = forward_backward();
  for (int step = 0; step < 100; ++step) {
    forward_backward();
    scores.begin({.samples = N});
    scores.add(
        {.weight = weight, .input = {x.data(), {N, P}}, .output_score = {score.data(), {N}}});
    // [shown]
    // `gradient` (P): of the mean loss with its penalty, downhill once multiplied by -1.
    optimizer.step({.fisher = scores, .gradient = natgrad::Gradient{{gradient.data(), {P}}, -1}});
    // [end]
  }
  const double after = forward_backward();
  std::printf("|gradient| %.3g, after 100 steps %.3g\n", before, after);
  return after < 1e-4 ? 0 : 1;
}
