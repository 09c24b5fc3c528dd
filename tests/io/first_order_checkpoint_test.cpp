#include "natgrad/first_order.hpp"
#include "natgrad/natgrad.hpp"
#include "support/saved_training.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

// A first-order run that is saved, loaded and continued has the bits of one that was never stopped.

namespace natgrad::tests {

namespace {

/// Two tensors, and gradients that are others at every step.
struct Descent {
  std::vector<double> weight = Random(1).numbers(6);
  std::vector<double> bias = Random(2).numbers(3);
  Parameters parameters{Context::cpu()};
  FirstOrder optimizer;

  explicit Descent(const FirstOrder::Options& options) : optimizer(added(), options) {}

  const Parameters& added() {
    parameters.add(View(weight.data(), {2, 3}), "weight");
    parameters.add(View(bias.data(), {3}), "bias");
    return parameters;
  }
  void steps(int first, int last) {
    for (int key = first; key <= last; ++key) {
      const std::vector<double> gradient = Random(static_cast<std::uint64_t>(key)).numbers(9);
      optimizer.step(ConstView(gradient.data(), {9}));
    }
  }
};

using first_order_checkpoint = CheckpointTest;

TEST_F(first_order_checkpoint, continues_bit_for_bit) {
  const FirstOrder::Options rules[] = {
      {.rule = Sgd{.momentum = 0}}, {.rule = Sgd{}}, {.rule = Adam{}, .weight_decay = 0.1}};
  for (const FirstOrder::Options& options : rules) {
    Descent whole(options);
    whole.steps(10, 12);
    save(path_, whole.optimizer, some_blobs());
    Descent fresh(options);
    EXPECT_EQ(load(path_, fresh.optimizer), some_blobs());
    Descent used(options);
    used.steps(20, 25);
    Checkpoint(path_).restore(used.optimizer);
    for (Descent* run : {&whole, &fresh, &used}) run->steps(13, 15);
    EXPECT_EQ(fresh.weight, whole.weight);
    EXPECT_EQ(fresh.bias, whole.bias);
    EXPECT_EQ(used.weight, whole.weight);
    EXPECT_EQ(used.bias, whole.bias);
  }
}

TEST_F(first_order_checkpoint, of_another_rule_names_both) {
  Descent sgd({.rule = Sgd{}});
  sgd.steps(1, 2);
  save(path_, sgd.optimizer);
  Descent adam({.rule = Adam{}});
  const std::vector<double> before = adam.weight;
  expect_error(file_error([&] { load(path_, adam.optimizer); }), path_,
               "the file is of sgd with momentum, the optimizer is adam");
  EXPECT_EQ(adam.weight, before);
  NaturalGradient natural(adam.parameters);
  expect_error(file_error([&] { load(path_, natural); }), path_,
               "the file is of sgd with momentum, the optimizer is natural gradient with SPRING");
  save(path_, natural);
  expect_error(file_error([&] { load(path_, sgd.optimizer); }), path_,
               "the file is of natural gradient with SPRING momentum, the optimizer is sgd with");
}

TEST_F(first_order_checkpoint, is_not_made_of_parameters_that_have_grown) {
  Descent run({.rule = Sgd{}});
  std::vector<double> more(1);
  run.parameters.add(View(more.data(), {1}));
  EXPECT_THROW(save(path_, run.optimizer), ArgumentError);
  EXPECT_TRUE(names().empty());
}

}  // namespace

}  // namespace natgrad::tests
