#include "io/checkpoint_file.hpp"
#include "natgrad/natgrad.hpp"
#include "support/least_squares.hpp"
#include "support/saved_training.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

// Step rules and damping that change go on from a checkpoint as if they had not stopped.

namespace natgrad::tests {

namespace {

using checkpoint_of_rules = CheckpointTest;

const Damping falling{.absolute = 0.5, .rule = DampingSchedule{.factor = 0.7, .floor = 0.1}};
const Damping adapting{.absolute = 0.5, .rule = LevenbergMarquardt{}};

std::vector<NaturalGradient::Options> rules() {
  const StepRule model = QuadraticModel{};
  return {{.damping = falling},
          {.damping = adapting, .step = FixedRate{0.4}},
          {.step = Backtracking{.rate = 4}, .momentum = HeavyBall{0.5}},
          {.damping = adapting, .step = Backtracking{.rate = 4}, .l2 = 0.1},
          {.damping = falling,
           .step = model,
           .momentum = NoMomentum{},
           .structure = Structure::diagonal},
          {.damping = adapting,
           .step = model,
           .momentum = NoMomentum{},
           .weight_decay = 0.1,
           .structure = Structure::diagonal},
          {.damping = {.absolute = 0.5, .rule = StepLengthDamping{.decrease = 0.5}},
           .step = GeodesicAcceleration{.max_rate = 3, .growth = 1.5},
           .momentum = NoMomentum{}}};
}

void expect_same_measures(const StepReport& a, const StepReport& b) {
  expect_same(a, b);
  EXPECT_EQ(a.trials, b.trials);
  EXPECT_EQ(a.loss_before, b.loss_before);
  EXPECT_EQ(a.loss_after, b.loss_after);
  EXPECT_EQ(a.reduction_ratio, b.reduction_ratio);
  EXPECT_EQ(a.model_rate, b.model_rate);
  EXPECT_EQ(a.momentum, b.momentum);
}

TEST_F(checkpoint_of_rules, continue_bit_for_bit) {
  for (const NaturalGradient::Options& options : rules()) {
    SCOPED_TRACE(testing::Message() << "rule " << options.step.index() << ", damping "
                                    << options.damping.rule.index());
    LeastSquares through;
    NaturalGradient whole(through.parameters, options);
    LeastSquares first;
    LeastSquares second;
    NaturalGradient saved(first.parameters, options);
    for (int k = 0; k < 3; ++k) {
      whole.step(through.batch());
      saved.step(first.batch());
    }
    save(path_, saved);
    NaturalGradient loaded(second.parameters, options);
    loaded.step(second.batch());  // which the file replaces
    load(path_, loaded);
    expect_same_measures(loaded.report(), whole.report());
    for (int k = 0; k < 3; ++k) {
      whole.step(through.batch());
      loaded.step(second.batch());
      expect_same_measures(loaded.report(), whole.report());
      EXPECT_TRUE(same_bits(second.weight.memory(), through.weight.memory()));
      EXPECT_TRUE(same_bits(second.bias.memory(), through.bias.memory()));
    }
    EXPECT_NE(whole.report().damping, 0.5) << "something has changed";
  }
}

TEST_F(checkpoint_of_rules, files_of_before_the_rules_are_read) {
  LeastSquares model;
  NaturalGradient optimizer(model.parameters, {.step = FixedRate{0.2}});
  for (int k = 0; k < 2; ++k) optimizer.step(model.batch());
  save(path_, optimizer);
  // The same without what is new.
  const std::string old = directory_.file("old");
  {
    const io::CheckpointFile file(path_);
    std::vector<io::Entry> entries;
    int left_out = 0;
    for (const auto& [name, entry] : file.entries()) {
      bool is_new = false;
      for (const char* field : {"applies", "trials", "loss_before", "loss_after", "actual_kl",
                                "reduction_ratio", "model_rate", "momentum"}) {
        is_new = is_new || name == std::string("optimizer.reports.") + field;
      }
      if (is_new) {
        ++left_out;
      } else {
        entries.push_back(entry);
      }
    }
    EXPECT_EQ(left_out, 8);
    io::write_checkpoint(
        old, entries, {{"version", file.text("version")}, {"optimizer", file.text("optimizer")}});
  }
  // With another rule, too: the rate, the damping and the momentum are what a file has.
  for (const StepRule& rule : {StepRule(FixedRate{}), StepRule(Backtracking{})}) {
    LeastSquares other;
    NaturalGradient loaded(other.parameters, {.step = rule});
    load(old, loaded);
    EXPECT_TRUE(same_bits(other.weight.memory(), model.weight.memory()));
    const StepReport report = loaded.report();
    expect_same(report, optimizer.report());
    EXPECT_EQ(report.trials, 0);
    EXPECT_FALSE(report.loss_before.has_value());
    EXPECT_FALSE(report.momentum.has_value());
    loaded.step(other.batch());
    EXPECT_EQ(loaded.report().outcome, Outcome::accepted);
    EXPECT_EQ(loaded.report().step, 3);
  }
}

TEST_F(checkpoint_of_rules, the_last_step_of_a_model_is_no_other_momentum) {
  LeastSquares model;
  const NaturalGradient::Options of_model{.step = QuadraticModel{}, .momentum = NoMomentum{}};
  NaturalGradient optimizer(model.parameters, of_model);
  optimizer.step(model.batch());
  save(path_, optimizer);
  for (const Momentum& momentum : std::vector<Momentum>{NoMomentum{}, HeavyBall{}, Spring{}}) {
    NaturalGradient other(model.parameters, {.momentum = momentum});
    expect_error(file_error([&] { load(path_, other); }), path_, "QuadraticModel momentum");
  }
}

TEST_F(checkpoint_of_rules, a_damping_beyond_the_bounds_is_refused) {
  LeastSquares model;
  NaturalGradient optimizer(model.parameters, {.damping = {.absolute = 0.5}});
  optimizer.step(model.batch());
  save(path_, optimizer);
  NaturalGradient bounded(
      model.parameters,
      {.damping = {.absolute = 0.1, .rule = LevenbergMarquardt{.largest = 0.25}}});
  expect_error(file_error([&] { load(path_, bounded); }), path_, "between the bounds");
}

}  // namespace

}  // namespace natgrad::tests
