#include "natgrad/natgrad.hpp"
#include "support/device.hpp"
#include "support/files.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <utility>
#include <vector>

namespace natgrad::tests {
namespace {

/// Two tensors, of 2 x 2 and 1 numbers, whose rows are apart in the first.
struct Model {
  Context context = test_context();
  SharedVector<double> weight = {1, 2, -7, 3, 4, -7};
  SharedVector<double> bias = {5};
  Parameters parameters{context};

  Model() {
    parameters.add(View(weight.data(), {2, 2}, {.leading_dimension = 3, .device = test_device()}),
                   "weight");
    parameters.add(shared_view(bias, {1, 1}), "bias");
  }

  std::vector<double> theta() const {
    synchronize_device();
    return {weight[0], weight[1], weight[3], weight[4], bias[0]};
  }
};

/// Gradient of step k.
std::vector<double> gradient_of(int k) {
  std::vector<double> g;
  for (int i = 0; i < 5; ++i) g.push_back(std::sin(1 + i + 3 * k));
  return g;
}

void step(const Model& model, FirstOrder& optimizer, int k) {
  const Array gradient = model.context.array({5, 1}, ElementType::float64);
  model.context.write(gradient_of(k).data(), gradient);
  optimizer.step(gradient);
  synchronize_device();
}

void expect_near(const std::vector<double>& actual, const std::vector<double>& expected) {
  for (std::size_t i = 0; i < 5; ++i) EXPECT_NEAR(actual[i], expected[i], 1e-14) << i;
}

TEST(first_order, sgd_adds_rate_times_velocity) {
  for (const double momentum : {0.0, 0.9}) {
    const Model model;
    FirstOrder optimizer(model.parameters,
                         {.rule = Sgd{momentum}, .rate = 0.1, .weight_decay = 0.5});
    std::vector<double> theta = model.theta();
    std::vector<double> velocity(5, 0.0);
    for (int k = 0; k < 4; ++k) {
      step(model, optimizer, k);
      for (std::size_t i = 0; i < 5; ++i) {
        velocity[i] = momentum * velocity[i] + gradient_of(k)[i];
        theta[i] += 0.1 * velocity[i] - 0.1 * 0.5 * theta[i];
      }
      expect_near(model.theta(), theta);
    }
    EXPECT_EQ(model.weight[2], -7) << "what lies between rows is not theta";
  }
}

// Algorithm 1 of Kingma and Ba, uphill.
TEST(first_order, adam_divides_by_the_root_of_the_mean_square) {
  const Model model;
  const Adam adam = {.beta1 = 0.8, .beta2 = 0.95, .epsilon = 1e-3};
  FirstOrder optimizer(model.parameters, {.rule = adam, .rate = 0.1, .weight_decay = 0.5});
  std::vector<double> theta = model.theta();
  std::vector<double> m(5, 0.0);
  std::vector<double> v(5, 0.0);
  for (int k = 0; k < 4; ++k) {
    step(model, optimizer, k);
    for (std::size_t i = 0; i < 5; ++i) {
      const double g = gradient_of(k)[i];
      m[i] = adam.beta1 * m[i] + (1 - adam.beta1) * g;
      v[i] = adam.beta2 * v[i] + (1 - adam.beta2) * g * g;
      const double mean = m[i] / (1 - std::pow(adam.beta1, k + 1));
      const double square = v[i] / (1 - std::pow(adam.beta2, k + 1));
      theta[i] += 0.1 * mean / (std::sqrt(square) + adam.epsilon) - 0.1 * 0.5 * theta[i];
    }
    expect_near(model.theta(), theta);
  }
}

TEST(first_order, refuses_options_and_gradients_that_do_not_fit) {
  const Model model;
  const auto refused = [&](const FirstOrder::Options& options, const std::string& name) {
    try {
      FirstOrder(model.parameters, options);
      FAIL() << name;
    } catch (const OptionError& error) {
      EXPECT_NE(std::string(error.what()).find(name), std::string::npos) << error.what();
    }
  };
  refused({.rate = 0}, "rate");
  refused({.rate = NAN}, "rate");
  refused({.rate = 1, .weight_decay = 1.5}, "weight_decay");
  refused({.rule = Sgd{1}}, "momentum");
  refused({.rule = Adam{.beta1 = -0.1}}, "beta1");
  refused({.rule = Adam{.beta2 = 1}}, "beta2");
  refused({.rule = Adam{.epsilon = 0}}, "epsilon");
  EXPECT_THROW(FirstOrder(Parameters(model.context), {}), ArgumentError);

  FirstOrder optimizer(model.parameters, {});
  const std::vector<double> before = model.theta();
  EXPECT_THROW(optimizer.step({}), ArgumentError);
  EXPECT_THROW(optimizer.step(model.context.array({4, 1}, ElementType::float64)), ShapeError);
  EXPECT_THROW(optimizer.step(model.context.array({5, 1}, ElementType::float32)), TypeError);
  SharedVector<double> more(1, 0.0);
  Parameters grown = model.parameters;
  grown.add(shared_view(more, {1, 1}), "more");
  EXPECT_THROW(optimizer.step(model.context.array({6, 1}, ElementType::float64)), ArgumentError);
  EXPECT_THROW(save(TemporaryDirectory().file("checkpoint"), optimizer), ArgumentError);
  EXPECT_EQ(model.theta(), before);
}

TEST(first_order, goes_on_from_a_checkpoint_as_if_it_had_not_stopped) {
  const TemporaryDirectory directory;
  const std::string path = directory.file("checkpoint");
  const Blobs blobs = {{"place", {std::byte{1}, std::byte{2}}}};
  for (const FirstOrder::Rule& rule :
       {FirstOrder::Rule(Sgd{0}), FirstOrder::Rule(Sgd{0.9}), FirstOrder::Rule(Adam{})}) {
    const Model whole;
    FirstOrder optimizer(whole.parameters, {.rule = rule, .rate = 0.01});
    for (int k = 0; k < 3; ++k) step(whole, optimizer, k);
    save(path, optimizer, blobs);
    for (int k = 3; k < 5; ++k) step(whole, optimizer, k);

    const Model resumed;
    FirstOrder fresh(resumed.parameters, {.rule = rule, .rate = 0.01});
    EXPECT_EQ(load(path, fresh), blobs);
    for (int k = 3; k < 5; ++k) step(resumed, fresh, k);
    EXPECT_EQ(resumed.theta(), whole.theta());
  }
}

TEST(first_order, refuses_a_checkpoint_of_another_rule_and_changes_nothing) {
  const TemporaryDirectory directory;
  const std::string path = directory.file("checkpoint");
  const Model model;
  FirstOrder adam(model.parameters, {.rule = Adam{}});
  save(path, adam);
  const Checkpoint checkpoint(path);
  EXPECT_EQ(checkpoint.path(), path);
  EXPECT_TRUE(checkpoint.blobs().empty());

  FirstOrder sgd(model.parameters, {.rule = Sgd{0.9}});
  NaturalGradient natural(model.parameters, {});
  step(model, sgd, 0);
  const std::vector<double> before = model.theta();
  EXPECT_THROW(checkpoint.restore(sgd), FileError);
  EXPECT_THROW(checkpoint.restore(natural), FileError);
  EXPECT_EQ(model.theta(), before);
  checkpoint.restore(adam);
  EXPECT_EQ(model.theta(), (std::vector<double>{1, 2, 3, 4, 5}));
}

TEST(first_order, says_beforehand_that_a_checkpoint_cannot_be_written) {
  const TemporaryDirectory directory;
  require_writable(directory.file("checkpoint"));
  EXPECT_TRUE(std::filesystem::is_empty(directory.path())) << "it leaves nothing";
  EXPECT_THROW(require_writable(directory.file("nowhere/checkpoint")), FileError);
  EXPECT_THROW(require_writable(directory.path()), FileError);
}

}  // namespace
}  // namespace natgrad::tests
