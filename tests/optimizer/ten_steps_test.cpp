#include "natgrad/natgrad.hpp"
#include "support/device.hpp"
#include "support/plain.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

// Ten steps on the device against the same ten on the CPU. (On the CPU itself it compares two
// runs.)

namespace natgrad::tests {

namespace {

constexpr std::int64_t samples = 96;
const std::vector<std::int64_t> sizes{12, 20, 5};

/// One side: a net, its data and its optimizer on one context, all from the same numbers.
template <class T>
class Side {
 public:
  Side(const Context& context, FisherKind kind)
      : context_(context),
        kind_(kind),
        net_(context, {.sizes = sizes, .type = element_type_of<T>, .seed = 3}),
        inputs_(context.array({samples, sizes.front()}, element_type_of<T>)),
        labels_(context.array({samples, 1}, ElementType::int32)),
        drawn_(context.array({samples, 1}, ElementType::int32)),
        gradient_(context.array({net_.parameters().size(), 1}, element_type_of<T>)),
        optimizer_(net_.parameters(), {.damping = {.absolute = 0.03}, .step = FixedRate{0.3}}),
        scores_(net_.parameters(), {.kind = kind}) {
    Random random(11);
    std::vector<T> inputs;
    for (double x : random.numbers(static_cast<std::size_t>(samples * sizes.front()))) {
      inputs.push_back(static_cast<T>(x));
    }
    context_.write(inputs.data(), inputs_);
    std::vector<std::int32_t> labels;
    for (std::int64_t n = 0; n < samples; ++n) {
      labels.push_back(static_cast<std::int32_t>((n * n + n / 7) % sizes.back()));
    }
    context_.write(labels.data(), labels_);
  }

  double loss() {
    net_.forward(inputs_);
    return net_.evaluate(labels_).loss;
  }
  /// Labels drawn from the model as it stands.
  std::vector<std::int32_t> draw() {
    net_.forward(inputs_);
    net_.sample(1);
    return host_copy<std::int32_t>(context_, net_.sampled_targets());
  }
  /// `drawn`: the labels of the Fisher where it is sampled.
  void step(const std::vector<std::int32_t>& drawn) {
    net_.forward(inputs_);
    net_.backward(labels_);
    if (kind_ == FisherKind::empirical) {
      net_.add_to(scores_, {.samples = samples});
      optimizer_.step(scores_);
    } else {
      net_.gradient(gradient_);
      context_.write(drawn.data(), drawn_);
      net_.backward(drawn_);
      net_.add_to(scores_, {.samples = samples});
      optimizer_.step({.fisher = scores_, .gradient = Gradient{gradient_}});
    }
    EXPECT_EQ(optimizer_.report().outcome, Outcome::accepted);
  }

 private:
  Context context_;
  FisherKind kind_;
  FullyConnected net_;
  Array inputs_;
  Array labels_;
  Array drawn_;
  Array gradient_;
  NaturalGradient optimizer_;
  LayerScores scores_;
};

template <class T>
void compare(FisherKind kind, double tolerance) {
  Side<T> host(Context::cpu(), kind);
  Side<T> device(test_context(), kind);
  const double first = host.loss();
  double last = first;
  for (int step = 0; step < 10; ++step) {
    SCOPED_TRACE(testing::Message() << to_string(kind) << ", step " << step);
    const std::vector<std::int32_t> drawn = host.draw();
    host.step(drawn);
    device.step(drawn);
    last = host.loss();
    const double error = std::abs(device.loss() - last);
    EXPECT_TRUE(error <= tolerance * std::abs(last)) << error << " at " << last;
  }
  EXPECT_LT(last, 0.9 * first) << "nothing was learned: nothing was compared";
}

TEST(ten_steps, have_the_losses_of_the_cpu_in_float) {
  compare<float>(FisherKind::empirical, 1e-4);
  compare<float>(FisherKind::sampled, 1e-4);
}

TEST(ten_steps, have_the_losses_of_the_cpu_in_double) {
  compare<double>(FisherKind::empirical, 1e-10);
  compare<double>(FisherKind::sampled, 1e-10);
}

}  // namespace

}  // namespace natgrad::tests
