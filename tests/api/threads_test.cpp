#include "natgrad/natgrad.hpp"
#include "support/device.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <thread>
#include <vector>

// Different contexts are independent: two threads, each with a context of its own, train two nets
// at once, and every parameter is bit for bit what one thread alone makes of it. ThreadSanitizer
// sees here what two contexts might share.

namespace natgrad::tests {

namespace {

constexpr std::int64_t samples = 12;
constexpr std::int64_t inputs = 5;
constexpr std::int64_t classes = 3;
constexpr int steps = 4;

/// A number between -1 and 1, another one for every index and phase.
double value(std::size_t index, double phase) {
  return std::sin(static_cast<double>(3 * index + 1) + phase);
}

/// The parameters after some steps: of the data, or of labels drawn from the model.
template <Element T>
std::vector<T> trained(double phase, FisherKind kind) {
  SharedVector<T> points(static_cast<std::size_t>(samples * inputs));
  for (std::size_t i = 0; i < points.size(); ++i) points[i] = static_cast<T>(value(i, phase));
  SharedVector<std::int32_t> labels(static_cast<std::size_t>(samples));
  for (std::size_t n = 0; n < labels.size(); ++n) labels[n] = static_cast<std::int32_t>(n % 3);
  const ConstView point_view = shared_view(points, {samples, inputs});
  const ConstView label_view = shared_view(labels, {samples, 1});

  FullyConnected net(
      test_context(),
      {.sizes = {inputs, 7, classes}, .type = element_type_of<T>, .sampling_key = 5});
  SharedVector<T> theta(static_cast<std::size_t>(net.parameters().size()));
  for (std::size_t i = 0; i < theta.size(); ++i) theta[i] = static_cast<T>(value(i, 2 * phase) / 2);
  net.parameters().scatter(shared_view(theta, {net.parameters().size(), 1}));

  NaturalGradient optimizer(
      net.parameters(),
      {.damping = {.absolute = 0.02}, .step = FixedRate{0.2}, .momentum = Spring{0.9}});
  LayerScores data(net.parameters());
  LayerScores drawn(net.parameters(), {.kind = FisherKind::sampled});
  for (int step = 0; step < steps; ++step) {
    net.forward(point_view);
    net.backward(label_view);
    net.add_to(data, {.samples = samples});
    if (kind == FisherKind::sampled) {
      net.sample(2);
      net.add_sampled_to(drawn, {.samples = 2 * samples});
      optimizer.step({.fisher = drawn, .gradient = data});
    } else {
      optimizer.step(data);
    }
  }
  EXPECT_EQ(optimizer.report().outcome, Outcome::accepted);
  EXPECT_EQ(optimizer.report().step, steps);
  net.parameters().gather(shared_view(theta, {net.parameters().size(), 1}));
  return host_copy<T>(net.parameters().context(), shared_view(theta, {net.parameters().size(), 1}));
}

template <Element T>
void expect_independent(FisherKind kind) {
  const std::vector<T> first_alone = trained<T>(0.1, kind);
  const std::vector<T> second_alone = trained<T>(0.7, kind);
  ASSERT_NE(first_alone, second_alone);
  std::vector<T> first, second;
  std::thread other([&] { second = trained<T>(0.7, kind); });
  first = trained<T>(0.1, kind);
  other.join();
  EXPECT_EQ(first, first_alone);
  EXPECT_EQ(second, second_alone);
}

TEST(threads, two_contexts_in_two_threads_train_as_each_alone_in_double) {
  expect_independent<double>(FisherKind::empirical);
}

TEST(threads, two_contexts_in_two_threads_train_as_each_alone_in_float) {
  expect_independent<float>(FisherKind::empirical);
}

TEST(threads, two_contexts_in_two_threads_draw_labels_as_each_alone) {
  expect_independent<double>(FisherKind::sampled);
}

}  // namespace

}  // namespace natgrad::tests
