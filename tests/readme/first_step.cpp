#include <natgrad/natgrad.hpp>

#include <cmath>
#include <cstdio>
#include <vector>

int main() {
  // Logistic regression on four samples: log p(y | x) with z = w . x + b.
  std::vector<float> x = {0, 1, 1, 1, 2, 0, 3, 2}, y = {0, 0, 1, 1}, w(2), b(1), score(4);

  natgrad::Parameters parameters(natgrad::Context::cpu());  // views of your own tensors
  const natgrad::Segment weight = parameters.add({w.data(), {1, 2}}, "w");
  const natgrad::Segment bias = parameters.add({b.data(), {1}}, "b");
  natgrad::NaturalGradient optimizer(parameters, {.damping = {.absolute = 1e-2}});
  natgrad::LayerScores scores(parameters);

  for (int step = 0; step < 20; ++step) {
    std::vector<float> gradient(3);  // of the mean log p, to check the scores with
    for (int n = 0; n < 4; ++n) {    // your own forward and backward pass
      score[n] = y[n] - 1 / (1 + std::exp(-(w[0] * x[2 * n] + w[1] * x[2 * n + 1] + b[0])));
      for (int i = 0; i < 3; ++i) gradient[i] += score[n] * (i < 2 ? x[2 * n + i] : 1) / 4;
    }
    scores.begin({.samples = 4});
    scores.add({.weight = weight,
                .bias = bias,
                .input = {x.data(), {4, 2}},
                .output_score = {score.data(), {4}}});
    if (step == 0) std::puts(scores.check({gradient.data(), {3}}).text.c_str());
    optimizer.step(scores);  // w and b have moved
  }
  std::printf("w = %.2f %.2f, b = %.2f after %ld steps, the last %s\n", w[0], w[1], b[0],
              static_cast<long>(optimizer.report().step), to_string(optimizer.report().outcome));
  return score[0] > -0.1 && score[2] < 0.1 ? 0 : 1;
}
