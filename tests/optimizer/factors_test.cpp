#include "natgrad/natgrad.hpp"
#include "support/layered_batch.hpp"
#include "support/loop.hpp"
#include "support/parted_training.hpp"
#include "support/plain.hpp"
#include "support/tolerance.hpp"

#include <gtest/gtest.h>

#include <vector>

// Rate and decay factors of segments that change between steps.

namespace natgrad::tests {

namespace {

using Factors = std::vector<SegmentFactor>;

void step(PartedTraining& run) {
  run.draw();
  run.optimizer.step(run.part(0, 41));
}

Parted with(const Momentum& momentum, const Factors& rates = {}, const Factors& decays = {}) {
  return {{.damping = damping,
           .momentum = momentum,
           .weight_decay = 0.1,
           .rate_factors = rates,
           .weight_decay_factors = decays}};
}

/// Without momentum nothing but the parameters is remembered: those of an optimizer that was made
/// with the factors are the same.
TEST(factors, that_are_set_are_those_of_an_optimizer_made_with_them) {
  const Factors rates = {{{0}, 0.5}, {{3}, 2}};
  const Factors decays = {{{1}, 0}, {{2}, 3}};
  PartedTraining set(with(NoMomentum{}));
  PartedTraining made(with(NoMomentum{}, rates, decays));
  set.optimizer.set_rate_factors(rates);
  set.optimizer.set_weight_decay_factors(decays);
  EXPECT_EQ(set.optimizer.options().rate_factors.size(), 2U);
  EXPECT_EQ(set.optimizer.options().weight_decay_factors[1].factor, 3);
  for (int i = 0; i < 3; ++i) {
    step(set);
    step(made);
    expect_same_bits(set.batch, made.batch);
  }
  set.optimizer.set_rate_factors({});
  set.optimizer.set_weight_decay_factors({});
  PartedTraining plain(with(NoMomentum{}));
  plain.batch.parameters.scatter([&] {
    static Tensor<double> theta;
    theta = Tensor<double>(set.batch.theta_numbers());
    return theta.view();
  }());
  for (int i = 0; i < 3; ++i) plain.draw();
  step(set);
  step(plain);
  expect_same_bits(set.batch, plain.batch);
}

TEST(factors, freeze_and_unfreeze_with_the_momentum_of_the_others) {
  for (const Structure structure : {Structure::full, Structure::block_diagonal}) {
    for (const Momentum& momentum : momenta) {
      SCOPED_TRACE(testing::Message() << to_string(structure) << ", " << momentum.index());
      Parted setup = with(momentum);
      setup.options.structure = structure;
      PartedTraining run(setup);
      PartedTraining always(setup);
      for (int i = 0; i < 2; ++i) {
        step(run);
        step(always);
      }
      run.optimizer.set_rate_factors({{{2}, 0}});
      const Numbers frozen = run.batch.theta[2].numbers();
      const Numbers moving = run.batch.theta[0].numbers();
      step(run);
      EXPECT_EQ(run.batch.theta[2].numbers(), frozen);
      EXPECT_NE(run.batch.theta[0].numbers(), moving);
      EXPECT_EQ(run.optimizer.report().outcome, Outcome::accepted);
      run.optimizer.set_rate_factors({});
      step(run);
      EXPECT_NE(run.batch.theta[2].numbers(), frozen);
      EXPECT_EQ(run.optimizer.report().step, 4);
    }
  }
}

/// Heavy ball's v = mu v + d: with d = 0 what is left of a step is the momentum alone.
TEST(factors, keep_momentum_where_it_belongs) {
  Parted setup{{.damping = {.absolute = 1},
                .step = FixedRate{1},
                .momentum = HeavyBall{0.5},
                .structure = Structure::block_diagonal}};
  PartedTraining run(setup);
  step(run);
  const auto moved_by_nothing = [&](std::size_t tensor) {
    const Numbers before = run.batch.theta[tensor].numbers();
    for (std::size_t n = 0; n < PartedTraining::samples; ++n) run.coefficients(n) = 0;
    run.optimizer.step(run.part(0, 41));
    return sum(-1, before, run.batch.theta[tensor].numbers());
  };
  const Numbers first = moved_by_nothing(3);
  run.optimizer.set_rate_factors({{{0}, 0}});
  const Numbers second = moved_by_nothing(3);
  EXPECT_TRUE(relative_error_within(second, sum(-0.5, first, first), same));
  run.optimizer.set_rate_factors({{{3}, 0}});
  EXPECT_EQ(moved_by_nothing(0), Numbers(12, 0.0)) << "its momentum was dropped";
  run.optimizer.set_rate_factors({});
  EXPECT_EQ(moved_by_nothing(3), Numbers(first.size(), 0.0)) << "it began anew";
}

TEST(factors, that_are_refused_change_nothing) {
  PartedTraining run(with(Spring{0.8}));
  PartedTraining undisturbed(with(Spring{0.8}));
  step(run);
  step(undisturbed);
  NaturalGradient& optimizer = run.optimizer;
  EXPECT_THROW(optimizer.set_rate_factors({{{0}, -1}}), OptionError);
  EXPECT_THROW(optimizer.set_rate_factors({{{9}, 1}}), ArgumentError);
  EXPECT_THROW(optimizer.set_rate_factors({{{1}, 1}, {{1}, 2}}), ArgumentError);
  EXPECT_THROW(optimizer.set_rate_factors({{{0}, 0}, {{1}, 0}, {{2}, 0}, {{3}, 0}}), ArgumentError);
  EXPECT_THROW(optimizer.set_weight_decay_factors({{{0}, 1e6}}), OptionError);
  EXPECT_TRUE(optimizer.options().rate_factors.empty());
  run.draw();
  undisturbed.draw();
  run.accumulate({30});
  EXPECT_THROW(optimizer.set_rate_factors({{{0}, 0}}), ArgumentError);
  optimizer.accumulate(run.part(30, 11));
  optimizer.step();
  undisturbed.accumulate({30, 11});
  undisturbed.optimizer.step();
  expect_same_bits(run.batch, undisturbed.batch);
}

}  // namespace

}  // namespace natgrad::tests
