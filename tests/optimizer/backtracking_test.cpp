#include "natgrad/natgrad.hpp"
#include "support/least_squares.hpp"
#include "support/loop.hpp"
#include "support/tolerance.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

// Rules that compare losses: which rate they take, on a loss that is a quadratic, and that what
// goes wrong leaves no trace.

namespace natgrad::tests {

namespace {

constexpr Damping slight{.absolute = 1e-9};

/// d solves the quadratic, so that L(theta + rate d) - min L is (1 - rate)^2 of what it was.
StepReport step_of(LeastSquares& model, const Backtracking& rule, Form form) {
  NaturalGradient optimizer(
      model.parameters, {.damping = slight, .step = rule, .momentum = NoMomentum{}, .form = form});
  optimizer.step(model.batch());
  return optimizer.report();
}

TEST(backtracking, takes_the_first_rate_at_which_the_loss_falls_by_enough) {
  // The loss falls by rate (1 - rate / 2) of the slope: enough where rate <= 2 (1 - share).
  struct Case {
    double share;
    double rate;
    int trials;
  };
  for (Form form : forms) {
    for (const Case& c : {Case{0, 1.5, 3}, Case{1e-4, 1.5, 3}, Case{0.4, 0.75, 4},
                          Case{0.7, 0.375, 5}, Case{0.9, 0.1875, 6}}) {
      SCOPED_TRACE(testing::Message() << to_string(form) << ", share " << c.share);
      LeastSquares model;
      const Numbers before = model.theta();
      const StepReport report = step_of(model, {.rate = 6, .sufficient_decrease = c.share}, form);
      EXPECT_EQ(report.outcome, Outcome::accepted);
      EXPECT_EQ(report.rate, c.rate);
      EXPECT_EQ(report.trials, c.trials);
      EXPECT_EQ(model.calls, 1 + 8) << "one before, one a trial, passed or not";
      EXPECT_TRUE(within(report.loss_before.value(), model.loss_at(before), 1e-14));
      EXPECT_TRUE(within(report.loss_after.value(), model.loss_at(model.theta()), 1e-14));
      EXPECT_EQ(report.reduction_ratio.has_value(), c.share > 0);
      EXPECT_FALSE(report.actual_kl.has_value());
      EXPECT_FALSE(report.momentum.has_value());
    }
  }
}

TEST(backtracking, minimizes_a_function_that_is_no_quadratic) {
  // Rosenbrock's as least squares: residuals 10 (y - x^2) and 1 - x, from his starting point.
  Parameters parameters(test_context());
  Tensor<double> theta(Numbers{-1.2, 1});
  parameters.add(theta.view());
  NaturalGradient optimizer(parameters, {.damping = slight,
                                         .step = Backtracking{.trials = 20},
                                         .momentum = NoMomentum{},
                                         .form = Form::primal});
  const auto residuals = [&] {
    const double x = theta(0);
    return Numbers{10 * (theta(1) - x * x), 1 - x};
  };
  const auto loss = [&](const View& result) {
    const Numbers r = residuals();
    const double value = dot(r, r) / 4;
    parameters.context().write(&value, result);
  };
  DenseScores rows(parameters, {.kind = FisherKind::residual});
  double last = std::numeric_limits<double>::infinity();
  int shortened = 0;
  for (int k = 0; k < 30; ++k) {
    Table J(2, 2);
    J(0, 0) = -20 * theta(0);
    J(0, 1) = 10;
    J(1, 0) = -1;
    Tensor<double> jacobian(J);
    Numbers r = residuals();
    Tensor<double> coefficients(Numbers{-r[0], -r[1]});
    rows.begin(jacobian.view(), {.coefficients = coefficients.view()});
    optimizer.step({.fisher = rows, .loss = loss});
    const StepReport report = optimizer.report();
    ASSERT_EQ(report.outcome, Outcome::accepted) << k;
    EXPECT_LE(report.loss_after.value(), last);
    last = report.loss_after.value();
    if (report.rate < 1) ++shortened;
  }
  EXPECT_GT(shortened, 0) << "Gauss-Newton alone overshoots here";
  EXPECT_TRUE(within(theta(0), 1, 1e-6));
  EXPECT_TRUE(within(theta(1), 1, 1e-6));
}

/// The first tensor's penalty is half the other's.
Numbers halved(Numbers values) {
  for (std::size_t i = 0; i < 6; ++i) values[i] /= 2;
  return values;
}

TEST(backtracking, knows_penalty_decay_and_factors) {
  for (bool numbers : {false, true}) {
    for (double eta : {0.0, 0.3}) {
      for (double decay : {0.0, 0.1}) {
        SCOPED_TRACE(testing::Message() << numbers << ", eta " << eta << ", decay " << decay);
        LeastSquares model;
        NaturalGradient optimizer(model.parameters,
                                  {.damping = {.absolute = 1},  // so that momentum leads downhill
                                   .step = Backtracking{.rate = 2.5, .sufficient_decrease = 0.3},
                                   .momentum = HeavyBall{0.5},
                                   .weight_decay = decay,
                                   .l2 = eta,
                                   .l2_factors = {{{0}, 0.5}},
                                   .rate_factors = {{{1}, 0.5}},
                                   .weight_decay_factors = {{{0}, 2}},
                                   .form = Form::primal});
        for (int k = 0; k < 3; ++k) {
          const Numbers before = model.theta();
          optimizer.step(model.batch(numbers));
          const StepReport report = optimizer.report();
          ASSERT_EQ(report.outcome, Outcome::accepted);
          const Numbers after = model.theta();
          const auto loss = [&](const Numbers& at) {
            return model.loss_at(at) + eta / 2 * dot(at, halved(at));
          };
          EXPECT_TRUE(within(report.loss_before.value(), loss(before), 1e-13));
          EXPECT_TRUE(within(report.loss_after.value(), loss(after), 1e-13));
          // The step itself, decay included, against the model, which is the loss.
          const Numbers s = sum(-1, before, after);
          const Numbers g = sum(-eta, halved(before), model.uphill(before));
          const double slope = dot(g, s);
          const double fall = loss(before) - loss(after);
          EXPECT_GE(fall, 0.3 * slope - 1e-13);
          const double predicted = slope - (fisher_form(model, s, s) + eta * dot(s, halved(s))) / 2;
          EXPECT_TRUE(within(report.reduction_ratio.value(), fall / predicted, 1e-9));
          EXPECT_TRUE(within(report.reduction_ratio.value(), 1, 1e-9)) << "a quadratic";
        }
      }
    }
  }
}

/// One step that `function` spoils between two good ones, and the same without it.
struct Disturbed {
  LeastSquares model;
  LeastSquares undisturbed;
  NaturalGradient optimizer;
  NaturalGradient other;

  explicit Disturbed(const Options& options)
      : optimizer(model.parameters, options), other(undisturbed.parameters, options) {
    optimizer.step(model.batch());
    other.step(undisturbed.batch());
  }
  void expect_no_trace() {
    EXPECT_TRUE(same_bits(model.weight.memory(), undisturbed.weight.memory()));
    EXPECT_TRUE(same_bits(model.bias.memory(), undisturbed.bias.memory()));
  }
  /// And the next step is the same.
  void expect_same_next() {
    expect_no_trace();
    optimizer.step(model.batch());
    other.step(undisturbed.batch());
    EXPECT_EQ(optimizer.report().outcome, Outcome::accepted);
    expect_no_trace();
  }
};

std::vector<Options> searching() {
  std::vector<Options> all;
  for (Form form : forms) {
    for (const Momentum& momentum : momenta) {
      all.push_back({.damping = {.absolute = 0.1},
                     .step = Backtracking{.rate = 0.2, .trials = 3},
                     .momentum = momentum,
                     .weight_decay = 0.05,
                     .form = form});
    }
  }
  return all;
}

TEST(backtracking, a_loss_that_never_falls_rejects_the_step) {
  for (const Options& options : searching()) {
    Disturbed run(options);
    double growing = 1;
    const auto loss = [&](const View& result) {
      growing *= 2;
      run.model.context.write(&growing, result);
    };
    run.optimizer.step(run.model.batch(loss));
    const StepReport report = run.optimizer.report();
    EXPECT_EQ(report.outcome, Outcome::rejected);
    EXPECT_EQ(report.trials, 3);
    EXPECT_EQ(report.failures_in_a_row, 1);
    EXPECT_EQ(report.loss_before, 2);
    EXPECT_EQ(report.loss_after, 16);
    run.expect_same_next();
  }
}

TEST(backtracking, nan_is_never_accepted) {
  for (const Options& options : searching()) {
    for (int first_bad : {0, 1, 2}) {
      SCOPED_TRACE(first_bad);
      Disturbed run(options);
      int call = 0;
      const auto loss = [&](const View& result) {
        run.model.measure(result);
        if (call++ < first_bad) return;
        run.model.context.state().backend().fill(nan, result);
      };
      run.optimizer.step(run.model.batch(loss));
      const StepReport report = run.optimizer.report();
      if (first_bad == 0) {
        EXPECT_EQ(report.outcome, Outcome::not_finite);
        EXPECT_EQ(report.not_finite, NotFinite::loss);
        EXPECT_TRUE(std::isnan(report.loss_before.value()));
      } else if (first_bad == 1) {
        EXPECT_EQ(report.outcome, Outcome::rejected);
        EXPECT_TRUE(std::isnan(report.loss_after.value()));
      } else {
        EXPECT_EQ(report.outcome, Outcome::accepted) << "by the trial before";
        continue;
      }
      run.expect_same_next();
    }
  }
}

TEST(backtracking, a_failed_solve_tries_no_rate) {
  for (Form form : forms) {
    LeastSquares model;
    NaturalGradient optimizer(model.parameters, {.damping = {.absolute = 0.1},
                                                 .step = Backtracking{.rate = 0.75},
                                                 .momentum = NoMomentum{},
                                                 .form = form});
    model.device_J(1, 1) = nan;
    optimizer.step(model.batch());
    const StepReport rows = optimizer.report();
    EXPECT_EQ(rows.outcome, Outcome::not_finite);
    EXPECT_EQ(rows.not_finite, NotFinite::rows);
    EXPECT_EQ(rows.trials, 0);
    EXPECT_EQ(rows.rate, 0.75);
    model.device_J(1, 1) = model.J(1, 1);
    optimizer.step(model.batch([&](const View& result) { model.context.write(&nan, result); }));
    const StepReport loss = optimizer.report();
    EXPECT_EQ(loss.not_finite, NotFinite::loss);
    EXPECT_EQ(loss.trials, 0);
    EXPECT_EQ(loss.rate, 0.75);
    optimizer.step(model.batch());
    EXPECT_EQ(optimizer.report().outcome, Outcome::accepted);
    EXPECT_GE(optimizer.report().trials, 1);
  }
}

TEST(backtracking, a_loss_that_nobody_writes_is_nan) {
  LeastSquares model;
  const Numbers before = model.theta();
  NaturalGradient optimizer(model.parameters, {.step = Backtracking{}});
  optimizer.step(model.batch(BatchFunction([](const View&) {})));
  EXPECT_EQ(optimizer.report().outcome, Outcome::not_finite);
  EXPECT_EQ(model.theta(), before);
}

TEST(backtracking, a_function_that_throws_leaves_everything_as_before) {
  for (const Options& options : searching()) {
    for (int last_good : {0, 1, 2, 3}) {
      SCOPED_TRACE(last_good);
      Disturbed run(options);
      int call = 0;
      const auto loss = [&](const View& result) {
        if (call++ == last_good) throw std::runtime_error("the caller's own");
        // So that no trial passes before.
        const double growing = call;
        run.model.context.write(&growing, result);
      };
      EXPECT_THROW(run.optimizer.step(run.model.batch(loss)), std::runtime_error);
      EXPECT_EQ(run.optimizer.report().step, 1);
      run.expect_same_next();
      EXPECT_EQ(run.optimizer.report().step, 2);
    }
  }
}

TEST(backtracking, a_step_that_overflows_is_shortened) {
  LeastSquares model;
  NaturalGradient optimizer(
      model.parameters,
      {.damping = slight,
       .step = Backtracking{.rate = 1e308, .shrink = 1e-308, .sufficient_decrease = 0},
       .momentum = NoMomentum{},
       .rate_factors = {{{0}, 1e3}, {{1}, 1e3}},
       .form = Form::primal});
  model.set_theta(Numbers(8, 1e3));
  optimizer.step(model.batch());
  const StepReport report = optimizer.report();
  EXPECT_NE(report.outcome, Outcome::not_finite) << "the last trial's parameters are finite";
  EXPECT_GE(report.trials, 2);
}

TEST(backtracking, what_it_needs_is_asked_for) {
  LeastSquares model;
  NaturalGradient optimizer(model.parameters, {.step = Backtracking{}});
  const auto text_of = [](const std::function<void()>& call) -> std::string {
    try {
      call();
    } catch (const OptionError& error) {
      return error.what();
    }
    return "no OptionError";
  };
  const std::string missing =
      text_of([&] { optimizer.step(Batch{.fisher = model.batch().fisher}); });
  EXPECT_NE(missing.find("Backtracking"), std::string::npos) << missing;
  EXPECT_NE(missing.find(".loss"), std::string::npos) << missing;
  // A direction compares nothing.
  Tensor<double> direction = zeros<double>(LeastSquares::size);
  optimizer.direction(Batch{.fisher = model.batch().fisher}, direction.view());
  EXPECT_EQ(optimizer.direction_report().outcome, Outcome::accepted);

  model.rows.begin(model.device_J.view(), {.batch_samples = 28});
  expect_refused("whole batch", [&] { optimizer.accumulate(model.rows); });
  expect_refused("called by .loss", [&] {
    optimizer.step(model.batch([&](const View&) { optimizer.step(model.rows); }));
  });
  optimizer.step(model.batch());
  EXPECT_EQ(optimizer.report().outcome, Outcome::accepted) << "it is idle again";

  for (const Backtracking& bad :
       {Backtracking{.rate = 0}, Backtracking{.shrink = 1}, Backtracking{.shrink = 0},
        Backtracking{.trials = 0}, Backtracking{.trials = 65},
        Backtracking{.sufficient_decrease = 1}, Backtracking{.sufficient_decrease = -0.1},
        Backtracking{.rate = nan}}) {
    EXPECT_THROW(NaturalGradient(model.parameters, {.step = bad}), OptionError);
  }
}

TEST(backtracking, the_context_is_the_callers_within_a_function) {
  // A matrix of the context's own takes the scratch that the step's numbers stand in.
  LeastSquares model;
  LeastSquares plain;
  FisherMatrix fisher(model.parameters, {.form = Form::dual});
  Tensor<double> direction = zeros<double>(LeastSquares::size);
  const Options options{.step = Backtracking{.rate = 4}, .weight_decay = 0.1, .form = Form::dual};
  NaturalGradient optimizer(model.parameters, options);
  NaturalGradient expected(plain.parameters, options);
  const auto loss = [&](const View& result) {
    fisher.reset();
    fisher.accumulate(model.rows);
    fisher.solve(Coefficients{}, direction.view());
    model.measure(result);
  };
  for (int k = 0; k < 2; ++k) {
    optimizer.step(model.batch(loss));
    expected.step(plain.batch());
    EXPECT_EQ(optimizer.report().outcome, Outcome::accepted);
    EXPECT_EQ(model.theta(), plain.theta());
  }
}

TEST(backtracking, ten_rejected_steps_in_a_row_are_an_error_that_says_why) {
  LeastSquares model;
  NaturalGradient optimizer(model.parameters, {.step = Backtracking{.trials = 1}});
  double growing = 0;
  const auto loss = [&](const View& result) {
    ++growing;
    model.context.write(&growing, result);
  };
  std::string text;
  for (int k = 0; k < 30 && text.empty(); ++k) {
    try {
      optimizer.step(model.batch(loss));
    } catch (const StepFailed& error) {
      text = error.what();
    }
  }
  EXPECT_NE(text.find("rejected"), std::string::npos) << text;
  EXPECT_NE(text.find("loss"), std::string::npos) << text;
}

}  // namespace

}  // namespace natgrad::tests
