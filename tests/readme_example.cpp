// Learns XOR with a net of the caller's own: p(y = 1 | x) = sigmoid(v . tanh(W x + b) + c).
#include <natgrad/natgrad.hpp>

#include <cmath>
#include <cstdio>
#include <vector>

constexpr int samples = 4, inputs = 2, hidden = 4;
std::vector<float> x = {0, 0, 0, 1, 1, 0, 1, 1}, y = {0, 1, 1, 0};
std::vector<float> W = {1, -.5, .8, .9, -.7, .6, -1, -.9}, b(hidden), v = {.5, -.6, .7, .4}, c(1);
std::vector<float> a(samples * hidden), z(samples);            // tanh(W x + b), v . a + c
std::vector<float> a_score(samples * hidden), z_score(samples);// d log p / d of W x + b, of z
std::vector<float> gradient(17);                               // of the mean of log p: W, b, v, c

double forward_backward() {  // returns the mean of log p
  double log_likelihood = 0;
  gradient.assign(17, 0);
  for (int n = 0; n < samples; ++n) {
    z[n] = c[0];
    for (int h = 0; h < hidden; ++h) {
      a[n * hidden + h] = std::tanh(W[2 * h] * x[2 * n] + W[2 * h + 1] * x[2 * n + 1] + b[h]);
      z[n] += v[h] * a[n * hidden + h];
    }
    log_likelihood -= std::log1p(std::exp(y[n] > 0 ? -z[n] : z[n])) / samples;
    z_score[n] = y[n] - 1 / (1 + std::exp(-z[n]));
    gradient[16] += z_score[n] / samples;
    for (int h = 0; h < hidden; ++h) {
      const float activation = a[n * hidden + h];
      const float score = a_score[n * hidden + h] =
          z_score[n] * v[h] * (1 - activation * activation);
      for (int i = 0; i < inputs; ++i) gradient[2 * h + i] += score * x[2 * n + i] / samples;
      gradient[8 + h] += score / samples;
      gradient[12 + h] += z_score[n] * activation / samples;
    }
  }
  return log_likelihood;
}

int main() {
  natgrad::Parameters parameters(natgrad::Context::cpu());  // views of the caller's own tensors
  const auto W_ = parameters.add({W.data(), {hidden, inputs}});
  const auto b_ = parameters.add({b.data(), {hidden}});
  const auto v_ = parameters.add({v.data(), {1, hidden}});
  const auto c_ = parameters.add({c.data(), {1}});
  natgrad::NaturalGradient optimizer(parameters, {.damping = {.absolute = 0.03},
                                                  .step = natgrad::FixedRate{0.3},
                                                  .momentum = natgrad::Spring{0.9}});
  natgrad::LayerScores scores(parameters);
  for (int step = 0; step < 15; ++step) {
    forward_backward();
    scores.begin({.samples = samples});
    scores.add({.weight = W_,
                .bias = b_,
                .input = {x.data(), {samples, inputs}},
                .output_score = {a_score.data(), {samples, hidden}}});
    scores.add({.weight = v_,
                .bias = c_,
                .input = {a.data(), {samples, hidden}},
                .output_score = {z_score.data(), {samples}}});
    if (step == 0) std::puts(scores.check({gradient.data(), {17}}).text.c_str());
    optimizer.step(scores);  // W, b, v and c move
  }
  const natgrad::StepReport last = optimizer.report();
  const double log_likelihood = forward_backward();
  std::printf("step %d: %s, log-likelihood %.1e, damping %.2g, residual %.0e\n",
              static_cast<int>(last.step), to_string(last.outcome), log_likelihood, last.damping,
              last.residual);
  return log_likelihood > -0.01 ? 0 : 1;
}
