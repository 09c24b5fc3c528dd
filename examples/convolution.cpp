// A convolution: its filters are used at every position of a map, so that a row is a sum of T
// terms. log p(y | x) = -(y - m)^2 / 2 with m the sum of tanh(z), z = W * x + b. The program ends
// well when every row is the derivative of its log p.
#include <natgrad/natgrad.hpp>

#include <cmath>
#include <cstdio>
#include <vector>

int main() {
  constexpr int N = 6, side = 4, C = 2, out = side - 2, T = out * out;  // 3 x 3, stride 1
  std::vector<double> x(N * side * side), y(N), W(C * 9), b(C);
  for (int i = 0; i < N * side * side; ++i) x[i] = std::sin(1.0 + 7 * i);
  for (int n = 0; n < N; ++n) y[n] = std::cos(3.0 * n);
  for (int i = 0; i < C * 9; ++i) W[i] = 0.3 * std::sin(2.0 + 5 * i);

  natgrad::Parameters parameters(natgrad::Context::cpu());
  const natgrad::Segment filters = parameters.add({W.data(), {C, 9}}, "filters");
  const natgrad::Segment offsets = parameters.add({b.data(), {C}}, "offsets");
  natgrad::LayerScores scores(parameters);

  std::vector<double> patches(N * T * 9), dz(N * T * C);
  for (int i = 0; i < N * T * 9; ++i) {
    const int n = i / (9 * T), row = i / 9 % T / out + i % 9 / 3, column = i / 9 % out + i % 3;
    patches[i] = x[(n * side + row) * side + column];
  }
  const auto tanh_z = [&](int i) {  // of filter i % C at position i / C
    double z = b[i % C];
    for (int k = 0; k < 9; ++k) z += W[i % C * 9 + k] * patches[i / C * 9 + k];
    return std::tanh(z);
  };
  const auto error = [&](int n) {
    double sum = 0;
    for (int i = n * T * C; i < (n + 1) * T * C; ++i) sum += tanh_z(i);
    return y[n] - sum;
  };
  for (int i = 0; i < N * T * C; ++i) dz[i] = error(i / (T * C)) * (1 - tanh_z(i) * tanh_z(i));

  // [shown]
  // A 3 x 3 convolution of N maps, T positions each. Row n T + t of `patches` is what the filters
  // see of map n at position t, row n T + t of `dz` is d log p(x_n) / dz there.
  scores.begin({.samples = N});
  scores.add({.weight = filters,  // (C, 9): every position uses it
              .bias = offsets,    // (C)
              .input = {patches.data(), {N * T, 9}},
              .output_score = {dz.data(), {N * T, C}},
              .terms = T});
  // [end]
  const natgrad::LikelihoodCheck check =
      natgrad::check_scores(scores, [&](const natgrad::View& log_p) {
        for (int n = 0; n < N; ++n) log_p.as<double>()[n] = -error(n) * error(n) / 2;
      });
  std::puts(check.text.c_str());
  return check.rows_off == 0 && check.uncovered.empty() ? 0 : 1;
}
