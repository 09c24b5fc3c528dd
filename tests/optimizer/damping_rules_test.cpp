#include "natgrad/natgrad.hpp"
#include "support/least_squares.hpp"
#include "support/loop.hpp"
#include "support/tolerance.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

// Damping that changes from step to step: a schedule of accepted steps, and Levenberg-Marquardt,
// whose reduction ratio is 1 on a quadratic.

namespace natgrad::tests {

namespace {

TEST(damping_schedule, falls_with_accepted_steps_to_its_floor) {
  for (Form form : forms) {
    LeastSquares model;
    const Damping falling{.absolute = 0.5, .rule = DampingSchedule{.factor = 0.5, .floor = 0.1}};
    NaturalGradient optimizer(model.parameters, {.damping = falling, .form = form});
    const auto step = [&] {
      optimizer.step(model.batch());
      return optimizer.report();
    };
    for (double expected : {0.5, 0.25}) EXPECT_EQ(step().damping, expected);
    const double good = model.J(3, 2);
    model.device_J(3, 2) = nan;
    for (int k = 0; k < 2; ++k) {
      const StepReport failed = step();
      EXPECT_EQ(failed.outcome, Outcome::not_finite);
      EXPECT_EQ(failed.damping, 0.125);
    }
    model.device_J(3, 2) = good;
    for (double expected : {0.125, 0.1, 0.1}) EXPECT_EQ(step().damping, expected);
    EXPECT_EQ(model.calls, 0) << "no rule compares losses here";
    EXPECT_EQ(optimizer.report().trials, 0);
    // A setter sets the number, and the schedule goes on.
    optimizer.set_damping({.absolute = 4});
    for (double expected : {4.0, 2.0}) EXPECT_EQ(step().damping, expected);
  }
}

/// Rows that know one of eight parameters: F has rank 1, and only the damping makes it regular.
TEST(damping_schedule, a_long_run_at_its_default_floor_does_not_end_singular) {
  for (Form form : forms) {
    LeastSquares model;
    for (std::size_t n = 0; n < LeastSquares::samples; ++n) {
      for (std::size_t i = 1; i < LeastSquares::size; ++i) model.device_J(n, i) = 0;
    }
    NaturalGradient optimizer(model.parameters,
                              {.damping = {.rule = DampingSchedule{.factor = 0.5}},
                               .momentum = NoMomentum{},
                               .form = form});
    for (int k = 0; k < 60; ++k) {
      optimizer.step(model.batch());
      ASSERT_EQ(optimizer.report().outcome, Outcome::accepted) << k;
    }
    EXPECT_EQ(optimizer.report().damping, DampingSchedule{}.floor);
    EXPECT_EQ(DampingSchedule{}.floor, 1e-4);
  }
}

TEST(damping_schedule, refuses_what_is_none) {
  LeastSquares model;
  for (const Damping& bad :
       {Damping{.rule = DampingSchedule{.factor = 0}},
        Damping{.rule = DampingSchedule{.factor = 1.1}},
        Damping{.absolute = 0.1, .rule = DampingSchedule{.floor = 0.2}},
        Damping{.rule = DampingSchedule{.floor = -1}}, Damping{.rule = DampingSchedule{.floor = 0}},
        Damping{.absolute = 5e-5, .rule = DampingSchedule{}},
        Damping{.absolute = 0, .rule = DampingSchedule{}},
        Damping{.relative = 0.1, .rule = DampingSchedule{}},
        Damping{.rule = LevenbergMarquardt{.factor = 1}},
        Damping{.rule = LevenbergMarquardt{.factor = 0}},
        Damping{.rule = LevenbergMarquardt{.smallest = 0}},
        Damping{.rule = LevenbergMarquardt{.smallest = 0.1}},
        Damping{.rule = LevenbergMarquardt{.largest = 0.001}},
        Damping{.relative = 0.1, .rule = LevenbergMarquardt{}}}) {
    EXPECT_THROW(NaturalGradient(model.parameters, {.damping = bad}), OptionError);
  }
  const Damping falling{.rule = DampingSchedule{}};
  EXPECT_THROW(FisherMatrix(model.parameters, {.damping = falling}), OptionError);
  FisherMatrix fisher(model.parameters);
  EXPECT_THROW(fisher.set_damping(falling), OptionError);
  NaturalGradient optimizer(model.parameters, {.damping = falling});
  EXPECT_THROW(optimizer.set_damping({.rule = LevenbergMarquardt{}}), OptionError);
}

constexpr double omega = 2.0 / 3;
constexpr Damping adapting{.absolute = 0.03, .rule = LevenbergMarquardt{}};

TEST(levenberg_marquardt, has_ratio_1_on_a_quadratic) {
  for (Form form : forms) {
    for (Structure structure : {Structure::full, Structure::block_diagonal}) {
      for (const Momentum& momentum : momenta) {
        for (double eta : {0.0, 0.2}) {
          SCOPED_TRACE(testing::Message() << to_string(form) << ", " << to_string(structure)
                                          << ", momentum " << momentum.index() << ", " << eta);
          LeastSquares model;
          NaturalGradient optimizer(
              model.parameters,
              {.damping = adapting,
               .step = FixedRate{0.4},
               .momentum = momentum,
               .weight_decay = 0.1,
               .l2 = eta,
               .structure = structure,
               .groups =
                   structure == Structure::full ? ParameterGroups{} : ParameterGroups{{{0}}, {{1}}},
               .form = form});
          double lambda = 0.03;
          for (int k = 0; k < 3; ++k) {
            optimizer.step(model.batch(momentum.index() == 1));
            const StepReport report = optimizer.report();
            EXPECT_TRUE(within(report.damping, lambda, 1e-15));
            if (report.outcome == Outcome::rejected) {  // momentum may lead uphill
              lambda /= omega;
              continue;
            }
            EXPECT_EQ(report.trials, 1);
            EXPECT_TRUE(within(report.reduction_ratio.value(), 1, 1e-8));
            EXPECT_LT(report.loss_after.value(), report.loss_before.value());
            lambda *= omega;
          }
          EXPECT_LT(lambda, 0.03) << "most steps are taken";
        }
      }
    }
  }
}

/// A step whose loss is said to fall by `share` of what the model predicts.
double damping_after(double share, const Damping& damping, Outcome expected = Outcome::accepted) {
  LeastSquares model;
  NaturalGradient optimizer(
      model.parameters,
      {.damping = damping, .step = FixedRate{1}, .momentum = NoMomentum{}, .form = Form::primal});
  // The fall of the quadratic itself is the model's.
  LeastSquares twin;
  NaturalGradient first(
      twin.parameters,
      {.damping = damping, .step = FixedRate{1}, .momentum = NoMomentum{}, .form = Form::primal});
  first.step(twin.batch());
  const double predicted = *first.report().loss_before - *first.report().loss_after;
  int call = 0;
  const auto loss = [&](const View& result) {
    const double value = call++ == 0 ? 5.0 : 5.0 - share * predicted;
    model.context.write(&value, result);
  };
  optimizer.step(model.batch(loss));
  const StepReport report = optimizer.report();
  EXPECT_EQ(report.outcome, expected);
  EXPECT_TRUE(std::isnan(share) || within(report.reduction_ratio.value(), share, 1e-8));
  optimizer.step(model.batch());
  return optimizer.report().damping;
}

TEST(levenberg_marquardt, follows_the_ratio_within_its_bounds) {
  const auto expect = [](double actual, double expected) {
    EXPECT_TRUE(within(actual, expected, 1e-15 * expected)) << actual;
  };
  for (double good : {0.76, 1.0, 3.0}) expect(damping_after(good, adapting), 0.03 * omega);
  for (double fair : {0.26, 0.5, 0.74}) expect(damping_after(fair, adapting), 0.03);
  expect(damping_after(0.24, adapting), 0.03 / omega);
  expect(damping_after(0.01, adapting), 0.03 / omega);
  for (double bad : {-0.01, -5.0, nan, -std::numeric_limits<double>::infinity()}) {
    expect(damping_after(bad, adapting, Outcome::rejected), 0.03 / omega);
  }
  const Damping bounded{.absolute = 0.03,
                        .rule = LevenbergMarquardt{.smallest = 0.025, .largest = 0.04}};
  expect(damping_after(1, bounded), 0.025);
  expect(damping_after(-1, bounded, Outcome::rejected), 0.04);
}

TEST(levenberg_marquardt, a_rejected_step_leaves_no_trace_but_the_damping) {
  for (const Momentum& momentum : momenta) {
    LeastSquares model;
    NaturalGradient optimizer(model.parameters, {.damping = adapting, .momentum = momentum});
    optimizer.step(model.batch());
    const auto weight = model.weight.memory();
    const auto bias = model.bias.memory();
    double growing = 0;
    optimizer.step(model.batch([&](const View& result) {
      ++growing;
      model.context.write(&growing, result);
    }));
    EXPECT_EQ(optimizer.report().outcome, Outcome::rejected);
    EXPECT_TRUE(same_bits(model.weight.memory(), weight));
    EXPECT_TRUE(same_bits(model.bias.memory(), bias));
    optimizer.step(model.batch());
    EXPECT_EQ(optimizer.report().outcome, Outcome::accepted);
  }
}

TEST(levenberg_marquardt, a_batch_that_fails_raises_the_damping) {
  LeastSquares model;
  NaturalGradient optimizer(model.parameters, {.damping = adapting, .momentum = NoMomentum{}});
  model.device_J(0, 0) = nan;
  optimizer.step(model.batch());
  EXPECT_EQ(optimizer.report().outcome, Outcome::not_finite);
  EXPECT_EQ(optimizer.report().not_finite, NotFinite::rows);
  model.device_J(0, 0) = model.J(0, 0);
  optimizer.step(model.batch());
  EXPECT_TRUE(within(optimizer.report().damping, 0.03 / omega, 1e-15));
}

TEST(levenberg_marquardt, at_the_minimum_the_ratio_counts_as_1_and_the_damping_stays) {
  LeastSquares model;
  model.set_theta(solve(model.fisher(), 0, model.uphill(Numbers(8, 0.0))));
  NaturalGradient optimizer(model.parameters, {.damping = adapting, .momentum = NoMomentum{}});
  for (int k = 0; k < 12; ++k) {
    optimizer.step(model.batch());
    const StepReport report = optimizer.report();
    EXPECT_EQ(report.outcome, Outcome::accepted) << "no failure, however long it stays there";
    EXPECT_EQ(report.reduction_ratio, 1);
    EXPECT_EQ(report.damping, 0.03);
  }
}

/// Near the minimum of a loss that float outputs know to some 1e-7 of itself.
TEST(levenberg_marquardt, in_float_the_rounding_of_the_loss_rejects_nothing) {
  for (bool adapts : {true, false}) {
    const Context context = test_context();
    Parameters parameters(context);
    Tensor<float> theta(Numbers{0.001, -0.001});
    parameters.add(theta.view());
    DenseScores rows(parameters, {.kind = FisherKind::residual});
    NaturalGradient optimizer(parameters, {.damping = adapts ? adapting : Damping{.absolute = 0.03},
                                           .step = adapts ? StepRule(FixedRate{0.4})
                                                          : StepRule(Backtracking{.trials = 3}),
                                           .momentum = NoMomentum{},
                                           .form = Form::primal});
    // 5 + |theta|^2 / 2, with an error of two units of float that changes from call to call.
    int call = 0;
    const auto loss = [&](const View& result) {
      const double x = theta(0);
      const double y = theta(1);
      const double error = 2 * 0x1p-23 * (call++ % 2 == 0 ? -1 : 1);
      const double value = (5 + (x * x + y * y) / 2) * (1 + error);
      context.write(&value, result);
    };
    Table J(2, 2);
    J(0, 0) = J(1, 1) = std::sqrt(2.0);
    Tensor<float> jacobian(J);
    for (int k = 0; k < 12; ++k) {
      Tensor<float> coefficients(Numbers{-std::sqrt(2.0) * theta(0), -std::sqrt(2.0) * theta(1)});
      rows.begin(jacobian.view(), {.coefficients = coefficients.view()});
      optimizer.step({.fisher = rows, .loss = loss});
      const StepReport report = optimizer.report();
      EXPECT_EQ(report.outcome, Outcome::accepted) << k;
      EXPECT_GT(report.loss_after.value(), report.loss_before.value()) << "by its error";
      EXPECT_EQ(report.trials, 1);
      EXPECT_EQ(report.reduction_ratio, 1) << "the model predicts less than the rounding";
      EXPECT_EQ(report.damping, 0.03);
    }
    EXPECT_LT(std::abs(theta(0)), 1e-5) << "the steps were taken";
  }
}

TEST(levenberg_marquardt, grows_where_the_first_of_several_rates_was_refused) {
  LeastSquares model;
  NaturalGradient optimizer(
      model.parameters,
      {.damping = adapting, .step = Backtracking{.rate = 6}, .momentum = NoMomentum{}});
  optimizer.step(model.batch());
  EXPECT_EQ(optimizer.report().outcome, Outcome::accepted);
  EXPECT_GT(optimizer.report().trials, 1);
  EXPECT_TRUE(within(optimizer.report().reduction_ratio.value(), 1, 1e-8)) << "at the rate taken";
  optimizer.set_rate(1);
  optimizer.step(model.batch());
  EXPECT_EQ(optimizer.report().trials, 1);
  EXPECT_TRUE(within(optimizer.report().damping, 0.03 / omega, 1e-15));
  optimizer.step(model.batch());
  EXPECT_TRUE(within(optimizer.report().damping, 0.03, 1e-15)) << "the first rate passed";
}

TEST(levenberg_marquardt, grows_where_the_divergence_of_the_first_rate_was_too_large) {
  LeastSquares model;
  NaturalGradient optimizer(
      model.parameters,
      {.damping = adapting,
       .step = KlTrustRegion{.radius = 1e-3, .allow_empirical = true, .trials = 4},
       .momentum = NoMomentum{}});
  Batch batch = model.batch();
  double divergence = 8e-3;
  batch.kl = [&](const View& result) {
    divergence /= 4;
    model.context.write(&divergence, result);
  };
  optimizer.step(batch);
  EXPECT_EQ(optimizer.report().outcome, Outcome::accepted);
  EXPECT_EQ(optimizer.report().trials, 2);
  EXPECT_GT(optimizer.report().reduction_ratio.value(), 0.75);
  divergence = 1e-3;
  Batch next = model.batch();
  next.kl = batch.kl;
  optimizer.step(next);
  EXPECT_EQ(optimizer.report().trials, 1);
  EXPECT_TRUE(within(optimizer.report().damping, 0.03 / omega, 1e-15));
}

TEST(levenberg_marquardt, asks_for_the_loss_and_refuses_empirical_rows) {
  LeastSquares model;
  NaturalGradient optimizer(model.parameters, {.damping = adapting});
  EXPECT_THROW(optimizer.step(model.batch().fisher), OptionError);
  LeastSquares empirical(test_context(), FisherKind::empirical);
  NaturalGradient strict(empirical.parameters, {.damping = adapting});
  EXPECT_THROW(strict.step(empirical.batch()), ArgumentError);
  NaturalGradient willing(
      empirical.parameters,
      {.damping = {.absolute = 0.03, .rule = LevenbergMarquardt{.allow_empirical = true}}});
  willing.step(empirical.batch());
  EXPECT_EQ(willing.report().outcome, Outcome::accepted);
}

}  // namespace

}  // namespace natgrad::tests
