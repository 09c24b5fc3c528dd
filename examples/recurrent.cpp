// A recurrent net: log p(y | x) = -(y - m)^2 / 2 with m the sum of h_T, h_t = tanh(W x_t + U
// h_(t-1)
// + b). Its rows are given twice, with T terms an add and as one add a step. The program ends well
// when every row is the derivative of its log p, in both.
#include <natgrad/natgrad.hpp>

#include <cmath>
#include <cstdio>
#include <vector>

int main() {
  constexpr int N = 6, T = 4, D = 2, H = 3;
  std::vector<double> x(N * T * D), y(N), w(H * D), u(H * H), c(H);
  for (int i = 0; i < N * T * D; ++i) x[i] = std::sin(1.0 + 7 * i);
  for (int n = 0; n < N; ++n) y[n] = std::cos(3.0 * n);
  for (int i = 0; i < H * D; ++i) w[i] = 0.7 * std::sin(2.0 + 5 * i);
  for (int i = 0; i < H * H; ++i) u[i] = 0.7 * std::sin(3.0 + 5 * i);

  natgrad::Parameters parameters(natgrad::Context::cpu());
  const natgrad::Segment W = parameters.add({w.data(), {H, D}}, "W");
  const natgrad::Segment U = parameters.add({u.data(), {H, H}}, "U");
  const natgrad::Segment b = parameters.add({c.data(), {H}}, "b");
  natgrad::LayerScores scores(parameters), one_add_a_step(parameters);

  // `before` holds h_(t-1) at row n T + t, `h` what follows from it.
  std::vector<double> before(N * T * H), h(N * T * H), dz(N * T * H), error(N);
  const auto forward = [&] {
    for (int n = 0; n < N; ++n) error[n] = y[n];
    for (int i = 0; i < N * T; ++i) {
      for (int j = 0; j < H; ++j) {
        double z = c[j];
        for (int k = 0; k < D; ++k) z += w[j * D + k] * x[i * D + k];
        for (int k = 0; k < H; ++k) z += u[j * H + k] * before[i * H + k];
        h[i * H + j] = std::tanh(z);
        if (i % T + 1 < T) before[(i + 1) * H + j] = h[i * H + j];
        if (i % T + 1 == T) error[i / T] -= h[i * H + j];
      }
    }
  };
  forward();
  for (int i = N * T; i-- > 0;) {
    for (int j = 0; j < H; ++j) {
      double dh = i % T + 1 == T ? error[i / T] : 0;
      for (int k = 0; k < H && i % T + 1 < T; ++k) dh += u[k * H + j] * dz[(i + 1) * H + k];
      dz[i * H + j] = dh * (1 - h[i * H + j] * h[i * H + j]);
    }
  }

  // [shown]
  // h_t = tanh(W x_t + U h_(t-1) + b) over T steps: row n T + t of each array belongs to step t of
  // sequence n. A shorter sequence ends with rows of 0 in `dz`.
  scores.begin({.samples = N});
  scores.add({.weight = W,
              .bias = b,
              .input = {x.data(), {N * T, D}},
              .output_score = {dz.data(), {N * T, H}},
              .terms = T});
  scores.add({.weight = U,
              .input = {before.data(), {N * T, H}},  // h_(t-1)
              .output_score = {dz.data(), {N * T, H}},
              .terms = T});

  // The same rows, one add a step: adds that name the same weight share it.
  one_add_a_step.begin({.samples = N});
  for (int t = 0; t < T; ++t) {
    const natgrad::ConstView dz_t(dz.data() + t * H, {N, H}, {.leading_dimension = T * H});
    one_add_a_step.add({.weight = W,
                        .bias = b,
                        .input = {x.data() + t * D, {N, D}, {.leading_dimension = T * D}},
                        .output_score = dz_t});
    one_add_a_step.add({.weight = U,
                        .input = {before.data() + t * H, {N, H}, {.leading_dimension = T * H}},
                        .output_score = dz_t});
  }
  // [end]
  const auto log_likelihood = [&](const natgrad::View& values) {
    forward();
    for (int n = 0; n < N; ++n) values.as<double>()[n] = -error[n] * error[n] / 2;
  };
  const natgrad::LikelihoodCheck check = natgrad::check_scores(scores, log_likelihood);
  std::puts(check.text.c_str());
  const natgrad::LikelihoodCheck same = natgrad::check_scores(one_add_a_step, log_likelihood);
  std::puts(same.text.c_str());
  return check.rows_off == 0 && same.rows_off == 0 && check.uncovered.empty() ? 0 : 1;
}
