// Linear regression, log p(y | x) = -(y - w . x)^2 / 2, one batch in three parts of four samples;
// the memory plan, a checkpoint, and the direction alone. Rows of the Fisher matrix are x_n, their
// coefficients the residuals. The program ends well when the checkpoint brought step 10 back, and
// the direction leads from there to the solution w = (2, -1).
#include <natgrad/natgrad.hpp>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

namespace {

constexpr int N = 12, D = 2;

}  // namespace

int main() {
  std::vector<double> x(N * D), y(N), w(D), ones(N, 1.0), residual(N);
  for (int n = 0; n < N; ++n) {
    x[D * n] = std::sin(n);
    x[D * n + 1] = std::cos(2 * n);
    y[n] = 2 * x[D * n] - x[D * n + 1];
  }
  natgrad::Parameters parameters(natgrad::Context::cpu());
  const natgrad::Segment weight = parameters.add({w.data(), {1, D}}, "w");
  const auto forward_backward = [&] {
    for (int n = 0; n < N; ++n) residual[n] = y[n] - w[0] * x[D * n] - w[1] * x[D * n + 1];
  };
  const std::filesystem::path folder = std::filesystem::temp_directory_path();
  const std::string file = (folder / "natgrad_readme_parts.ckpt").string();
  // [shown]
  const std::int64_t part = 4;
  natgrad::NaturalGradient optimizer(parameters, {.damping = {.absolute = 1e-3}});
  natgrad::LayerScores scores(parameters, {.kind = natgrad::FisherKind::exact});

  // What a batch of N in parts will take, before it runs; then take it.
  const natgrad::MemoryPlan plan =
      optimizer.plan({.samples = part, .batch_samples = N, .layers = {{.inputs = D}}});
  std::fputs(plan.text().c_str(), stdout);
  optimizer.reserve(plan);

  for (int step = 0; step < 20; ++step) {
    forward_backward();  // your own
    for (std::int64_t first = 0; first < N; first += part) {
      scores.begin(
          {.samples = part, .batch_samples = N, .coefficients = {residual.data() + first, {part}}});
      scores.add({.weight = weight,
                  .input = {x.data() + first * D, {part, D}},
                  .output_score = {ones.data(), {part}}});
      optimizer.accumulate(scores);
    }
    optimizer.step();
    if (step == 9) natgrad::save(file, optimizer, {{"my place", {std::byte{9}}}});
  }

  // Back to step 10, with what was saved beside the optimizer.
  const natgrad::Blobs mine = natgrad::load(file, optimizer);

  // The direction alone, for an optimizer of your own.
  std::vector<double> direction(D);
  forward_backward();
  scores.begin({.samples = N, .coefficients = {residual.data(), {N}}});
  scores.add({.weight = weight, .input = {x.data(), {N, D}}, .output_score = {ones.data(), {N}}});
  optimizer.direction(scores, {direction.data(), {D}});
  // [end]
  std::printf("w = %.4f %.4f, d = %.1e %.1e\n", w[0], w[1], direction[0], direction[1]);
  std::filesystem::remove(file);
  const bool back = mine.at("my place").front() == std::byte{9} && optimizer.report().step == 10;
  return back && std::abs(w[0] + direction[0] - 2) < 1e-2 ? 0 : 1;
}
