// A physics-informed net: u'' = f on (0, 1), u = 0 at both ends, for u(x) = V tanh(W x + b), by
// Gauss-Newton steps on the residuals. The program ends well when the rows are the derivatives of
// the residuals, and u is the solution sin(pi x) to 0.02.
#include <natgrad/natgrad.hpp>

#include <cmath>
#include <cstdio>
#include <vector>

int main() {
  constexpr int I = 20, B = 2, N = I + B, H = 8;
  const double pi = std::acos(-1.0);
  std::vector<double> w(H), c(H), v(H), weights(N), minus_residual(N);
  for (int j = 0; j < H; ++j) {
    w[j] = 2 + std::sin(2.0 + 5 * j);
    c[j] = -w[j] * j / (H - 1);
    v[j] = 0.1;
  }
  natgrad::Parameters parameters(natgrad::Context::cpu());
  const natgrad::Segment W = parameters.add({w.data(), {H, 1}}, "W");
  const natgrad::Segment b = parameters.add({c.data(), {H}}, "b");
  const natgrad::Segment V = parameters.add({v.data(), {1, H}}, "V");
  natgrad::NaturalGradient optimizer(parameters, {.damping = {.absolute = 1e-5},
                                                  .step = natgrad::FixedRate{0.5},
                                                  .momentum = natgrad::NoMomentum{}});
  natgrad::LayerScores scores(parameters, {.kind = natgrad::FisherKind::residual});

  // Inside three rows a point, of value and derivatives; then one row a boundary point.
  std::vector<double> a(3 * I + B), dz((3 * I + B) * H), features(N * H), ones(N, 1.0);
  const auto forward_backward = [&] {
    double loss = 0;
    for (int n = 0; n < N; ++n) {
      const bool inside = n < I;
      const double x = inside ? (n + 0.5) / I : n - I;
      const int row = inside ? 3 * n : 2 * I + n;
      weights[n] = inside ? 1.0 / I : 100.0 / B;
      minus_residual[n] = inside ? -pi * pi * std::sin(pi * x) : 0;
      a[row] = x;
      if (inside) a[row + 1] = 1, a[row + 2] = 0;
      for (int j = 0; j < H; ++j) {
        const double t = std::tanh(w[j] * x + c[j]), s = 1 - t * t, s1 = -2 * t * s;
        const double s2 = -2 * s * s - 2 * t * s1, z1 = w[j];  // z' = W, z'' = 0
        features[n * H + j] = inside ? s1 * z1 * z1 : t;
        minus_residual[n] -= v[j] * features[n * H + j];
        dz[row * H + j] = v[j] * (inside ? s2 * z1 * z1 : s);
        if (!inside) continue;
        dz[(row + 1) * H + j] = v[j] * 2 * s1 * z1;
        dz[(row + 2) * H + j] = v[j] * s;
      }
      loss += weights[n] * minus_residual[n] * minus_residual[n] / 2;
    }
    return loss;
  };
  const double before = forward_backward();
  bool right = true;
  for (int step = 0; step < 60; ++step) {
    forward_backward();
    // [shown]
    // Rows 0 to I: residuals u'' - f inside. Rows I to N: u on the boundary. What a layer sees of a
    // point inside are three terms, a, a' and a'': z = W a + b, but z' = W a' and z'' = W a''.
    scores.begin({.samples = N,
                  .weights = {weights.data(), {N}},
                  .coefficients = {minus_residual.data(), {N}}});
    scores.add({.weight = W,
                .bias = b,
                .input = {a.data(), {3 * I, 1}},
                .output_score = {dz.data(), {3 * I, H}},
                .terms = 3,
                .bias_terms = natgrad::Bias::first_term,
                .rows = {.first = 0, .count = I}});
    scores.add({.weight = W,
                .bias = b,
                .input = {a.data() + 3 * I, {B, 1}},
                .output_score = {dz.data() + 3 * I * H, {B, H}},
                .rows = {.first = I, .count = B}});
    // [end]
    scores.add(
        {.weight = V, .input = {features.data(), {N, H}}, .output_score = {ones.data(), {N}}});
    if (step == 0) {
      const natgrad::LikelihoodCheck check =
          natgrad::check_scores(scores, [&](const natgrad::View& residuals) {
            forward_backward();
            for (int n = 0; n < N; ++n) residuals.as<double>()[n] = -minus_residual[n];
          });
      std::puts(check.text.c_str());
      right = check.rows_off == 0 && check.uncovered.empty();
      forward_backward();
    }
    optimizer.step(scores);
  }
  double error = 0;
  for (int i = 0; i <= 10; ++i) {
    double u = 0;
    for (int j = 0; j < H; ++j) u += v[j] * std::tanh(w[j] * i / 10 + c[j]);
    error = std::fmax(error, std::abs(u - std::sin(pi * i / 10)));
  }
  std::printf("loss %.3g, after 60 steps %.3g; |u - sin(pi x)| <= %.3g\n", before,
              forward_backward(), error);
  return right && error < 0.02 ? 0 : 1;
}
