// Logistic regression, log p(y | x) with z = w x + b, on data that overlap: of four samples at
// x = 0 one has y = 1, of four at x = 1 three have. The fit is known: b = -log 3, w = 2 log 3.
#include <natgrad/natgrad.hpp>

#include <cmath>
#include <cstdio>
#include <vector>

int main() {
  std::vector<float> x = {0, 0, 0, 0, 1, 1, 1, 1}, y = {0, 0, 0, 1, 0, 1, 1, 1};
  std::vector<float> w(1), b(1), score(8);

  natgrad::Parameters parameters(natgrad::Context::cpu());  // views of your own tensors
  const natgrad::Segment weight = parameters.add({w.data(), {1, 1}}, "w");
  const natgrad::Segment bias = parameters.add({b.data(), {1}}, "b");
  natgrad::NaturalGradient optimizer(parameters, {.damping = {.absolute = 1e-3}});
  natgrad::LayerScores scores(parameters);

  for (int step = 0; step < 50; ++step) {
    std::vector<float> gradient(2);  // of the mean log p, to check the scores with
    for (int n = 0; n < 8; ++n) {    // your own forward and backward pass
      score[n] = y[n] - 1 / (1 + std::exp(-(w[0] * x[n] + b[0])));  // d log p / dz
      gradient[0] += score[n] * x[n] / 8;
      gradient[1] += score[n] / 8;
    }
    scores.begin({.samples = 8});
    scores.add({.weight = weight,
                .bias = bias,
                .input = {x.data(), {8, 1}},
                .output_score = {score.data(), {8, 1}}});
    if (step == 0) std::puts(scores.check({gradient.data(), {2}}).text.c_str());
    optimizer.step(scores);  // w and b have moved
  }
  const natgrad::StepReport last = optimizer.report();
  std::printf("step %d %s: w = %.4f, b = %.4f; the fit is 2.1972, -1.0986\n",
              static_cast<int>(last.step), to_string(last.outcome), w[0], b[0]);
  return std::abs(w[0] - 2 * std::log(3)) + std::abs(b[0] + std::log(3)) < 1e-3 ? 0 : 1;
}
