// Rows at labels drawn from the model, an unbiased estimate of the Fisher matrix, with the gradient
// of the data, and the KL divergence as the length of a step. Two classes of points in the plane,
// which overlap, in two batches. The program ends well when the last step was no longer than the
// radius and four in five points of the first batch are classified right.
#include <natgrad/natgrad.hpp>

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <vector>

namespace {

struct Part {
  natgrad::ConstView images;
  natgrad::ConstView labels;
};

}  // namespace

int main() {
  constexpr std::int64_t N = 200;
  std::vector<float> points(2 * N);
  std::vector<std::int32_t> classes(N);
  for (std::int64_t n = 0; n < N; ++n) {
    const float angle = 0.1F * static_cast<float>(n);
    classes[n] = static_cast<std::int32_t>(n % 2);
    points[2 * n] = std::cos(angle) + (classes[n] == 0 ? -0.8F : 0.8F);
    points[2 * n + 1] = std::sin(angle);
  }
  const std::vector<Part> batches = {
      {{points.data(), {N / 2, 2}}, {classes.data(), {N / 2}}},
      {{points.data() + N, {N / 2, 2}}, {classes.data() + N / 2, {N / 2}}}};
  // [shown]
  natgrad::FullyConnected net(natgrad::Context::best(), {.sizes = {2, 16, 2}});
  natgrad::LayerScores data(net.parameters());
  natgrad::LayerScores sampled(net.parameters(), {.kind = natgrad::FisherKind::sampled});
  natgrad::NaturalGradient optimizer(
      net.parameters(),
      {.step = natgrad::KlTrustRegion{.radius = 1e-2}, .momentum = natgrad::NoMomentum{}});
  const std::int64_t draws = 2;  // labels a sample
  for (int epoch = 0; epoch < 10; ++epoch) {
    for (const auto& [images, labels] : batches) {  // views of (n, 2) and (n) int32
      net.forward(images);
      net.backward(labels);  // scores at the data's labels
      net.sample(draws);     // and at drawn ones, in arrays of their own
      net.add_to(data, {.samples = images.rows()});
      net.add_sampled_to(sampled, {.samples = images.rows() * draws});
      optimizer.step({.fisher = sampled, .gradient = data});
    }
  }
  std::printf("%g nats a sample\n", *optimizer.report().predicted_kl);
  // [end]
  net.forward(batches[0].images);
  const auto result = net.evaluate(batches[0].labels);
  std::printf("accuracy %.3f\n", result.accuracy);
  const bool within = *optimizer.report().predicted_kl <= 1e-2 * (1 + 1e-6);
  return within && result.accuracy > 0.8 ? 0 : 1;
}
