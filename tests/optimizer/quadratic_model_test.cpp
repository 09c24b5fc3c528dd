#include "natgrad/natgrad.hpp"
#include "support/least_squares.hpp"
#include "support/loop.hpp"
#include "support/tolerance.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>

// Rate and momentum together: the step is the minimizer of the quadratic model over the plane of
// the direction and the last step, of the whole F whatever the structure.

namespace natgrad::tests {

namespace {

constexpr double lambda = 0.05;

/// 1/2 s^T (F + (lambda + eta) I) s - (g - eta theta)^T s along v, differentiated at s.
double slope_of_model(const LeastSquares& model, const Numbers& g, const Numbers& s, double shift,
                      const Numbers& v) {
  return fisher_form(model, s, v) + shift * dot(s, v) - dot(g, v);
}

TEST(quadratic_model, takes_the_minimizer_over_direction_and_last_step) {
  for (Structure structure : {Structure::diagonal, Structure::block_diagonal}) {
    for (double eta : {0.0, 0.2}) {
      for (bool numbers : {false, true}) {
        SCOPED_TRACE(testing::Message() << to_string(structure) << ", " << eta << ", " << numbers);
        LeastSquares model;
        const Options options{.damping = {.absolute = lambda},
                              .step = QuadraticModel{},
                              .momentum = NoMomentum{},
                              .l2 = eta,
                              .structure = structure,
                              .groups = structure == Structure::block_diagonal
                                            ? ParameterGroups{{{0}}, {{1}}}
                                            : ParameterGroups{}};
        NaturalGradient optimizer(model.parameters, options);
        Numbers last(LeastSquares::size, 0.0);
        for (int k = 0; k < 4; ++k) {
          const Numbers before = model.theta();
          const Numbers g = sum(-eta, before, model.uphill(before));
          Tensor<double> direction = zeros<double>(LeastSquares::size);
          optimizer.direction(model.batch(numbers), direction.view());
          const Numbers d = direction.numbers();
          optimizer.step(model.batch(numbers));
          const StepReport report = optimizer.report();
          ASSERT_EQ(report.outcome, Outcome::accepted);
          const Numbers s = sum(-1, before, model.theta());
          // No change of either factor makes the model smaller.
          EXPECT_TRUE(within(slope_of_model(model, g, s, lambda + eta, d), 0, 1e-12));
          EXPECT_TRUE(within(slope_of_model(model, g, s, lambda + eta, last), 0, 1e-12));
          Numbers expected = sum(*report.model_rate, d, Numbers(LeastSquares::size, 0.0));
          expected = sum(*report.momentum, last, expected);
          for (std::size_t i = 0; i < s.size(); ++i) EXPECT_TRUE(within(s[i], expected[i], 1e-12));
          EXPECT_TRUE(within(report.quadratic_form, fisher_form(model, s, s), 1e-12));
          EXPECT_EQ(report.rate, 1);
          if (k == 0) {
            EXPECT_EQ(report.momentum, 0) << "there is no last step";
          } else {
            EXPECT_NE(report.momentum, 0);
          }
          EXPECT_EQ(report.trials, 0);
          EXPECT_FALSE(report.loss_before.has_value());
          last = s;
        }
      }
    }
  }
}

TEST(quadratic_model, is_the_plain_step_where_the_whole_matrix_is_solved) {
  for (Form form : forms) {
    LeastSquares model;
    NaturalGradient optimizer(model.parameters, {.damping = {.absolute = lambda},
                                                 .step = QuadraticModel{},
                                                 .momentum = NoMomentum{},
                                                 .form = form});
    for (int k = 0; k < 3; ++k) {
      optimizer.step(model.batch());
      EXPECT_TRUE(within(optimizer.report().model_rate.value(), 1, 1e-8));
      EXPECT_TRUE(within(optimizer.report().momentum.value(), 0, 1e-8));
    }
  }
}

TEST(quadratic_model, speaks_of_the_step_with_its_factors) {
  LeastSquares model;
  NaturalGradient optimizer(model.parameters, {.damping = {.absolute = lambda},
                                               .step = QuadraticModel{.rate = 0.5},
                                               .momentum = NoMomentum{},
                                               .rate_factors = {{{1}, 3}},
                                               .form = Form::primal});
  Numbers last;
  for (int k = 0; k < 3; ++k) {
    const Numbers before = model.theta();
    Tensor<double> direction = zeros<double>(LeastSquares::size);
    optimizer.direction(model.batch(), direction.view());
    Numbers v = direction.numbers();
    for (std::size_t i = 6; i < 8; ++i) v[i] *= 3;
    optimizer.step(model.batch());
    Numbers s = sum(-1, before, model.theta());
    const Numbers taken = s;
    for (double& element : s) element *= 2;  // of the model, before its rate
    const Numbers g = model.uphill(before);
    EXPECT_TRUE(within(slope_of_model(model, g, s, lambda, v), 0, 1e-12));
    if (k > 0) {
      EXPECT_TRUE(within(slope_of_model(model, g, s, lambda, last), 0, 1e-12));
    }
    EXPECT_EQ(optimizer.report().rate, 0.5);
    last = taken;
  }
}

TEST(quadratic_model, goes_along_the_direction_alone_where_the_last_step_is_parallel) {
  // Of one parameter every step is.
  Parameters parameters(test_context());
  Tensor<double> theta(Numbers{3.0});
  parameters.add(theta.view());
  NaturalGradient optimizer(parameters, {.damping = {.absolute = 1},
                                         .step = QuadraticModel{},
                                         .momentum = NoMomentum{},
                                         .structure = Structure::diagonal});
  DenseScores rows(parameters, {.kind = FisherKind::residual});
  Tensor<double> J(Table(2, 1));
  J(0, 0) = 1;
  J(1, 0) = 2;
  double before = 3;
  for (int k = 0; k < 4; ++k) {
    Tensor<double> coefficients(Numbers{-before, -2 * before});
    rows.begin(J.view(), {.coefficients = coefficients.view()});
    optimizer.step(rows);
    EXPECT_EQ(optimizer.report().momentum, 0);
    // F = 5/2, g = -5/2 theta.
    before -= 2.5 * before / 3.5;
    EXPECT_TRUE(within(theta(0), before, 1e-14));
  }
}

TEST(quadratic_model, a_gradient_of_zero_is_a_step_of_zero) {
  LeastSquares model;
  NaturalGradient optimizer(model.parameters, {.damping = {.absolute = lambda},
                                               .step = QuadraticModel{},
                                               .momentum = NoMomentum{},
                                               .structure = Structure::diagonal});
  Tensor<double> nothing = zeros<double>(LeastSquares::size);
  const Numbers before = model.theta();
  for (int k = 0; k < 2; ++k) {
    optimizer.step({.fisher = model.batch().fisher, .gradient = Gradient{nothing.view()}});
    EXPECT_EQ(optimizer.report().outcome, Outcome::accepted);
    EXPECT_EQ(model.theta(), before);
  }
}

TEST(quadratic_model, a_failed_step_keeps_the_last_one) {
  const Options options{.damping = {.absolute = lambda},
                        .step = QuadraticModel{},
                        .momentum = NoMomentum{},
                        .structure = Structure::diagonal};
  LeastSquares model;
  LeastSquares undisturbed;
  NaturalGradient optimizer(model.parameters, options);
  NaturalGradient other(undisturbed.parameters, options);
  for (int k = 0; k < 2; ++k) {
    optimizer.step(model.batch());
    other.step(undisturbed.batch());
  }
  model.device_J(2, 2) = nan;
  optimizer.step(model.batch());
  EXPECT_EQ(optimizer.report().outcome, Outcome::not_finite);
  model.device_J(2, 2) = model.J(2, 2);
  EXPECT_EQ(model.theta(), undisturbed.theta());
  optimizer.step(model.batch());
  other.step(undisturbed.batch());
  EXPECT_EQ(model.theta(), undisturbed.theta());
  EXPECT_NE(optimizer.report().momentum, 0);
  optimizer.reset_momentum();
  optimizer.step(model.batch());
  EXPECT_EQ(optimizer.report().momentum, 0);
}

TEST(quadratic_model, needs_the_fisher_matrix_whole_batches_and_no_other_momentum) {
  LeastSquares empirical(test_context(), FisherKind::empirical);
  NaturalGradient strict(empirical.parameters,
                         {.step = QuadraticModel{}, .momentum = NoMomentum{}});
  EXPECT_THROW(strict.step(empirical.batch()), ArgumentError);
  NaturalGradient willing(empirical.parameters, {.step = QuadraticModel{.allow_empirical = true},
                                                 .momentum = NoMomentum{}});
  willing.step(empirical.batch());
  EXPECT_EQ(willing.report().outcome, Outcome::accepted);
  empirical.rows.begin(empirical.device_J.view(), {.batch_samples = 28});
  expect_refused("whole batch", [&] { willing.accumulate(empirical.rows); });
  expect_refused("whole batch",
                 [&] { willing.plan(ScoresShape{.samples = 14, .batch_samples = 28}); });
  EXPECT_THROW(NaturalGradient(empirical.parameters, {.step = QuadraticModel{}}), OptionError)
      << "SPRING is the default";
  EXPECT_THROW(NaturalGradient(empirical.parameters,
                               {.step = QuadraticModel{.rate = 0}, .momentum = NoMomentum{}}),
               OptionError);
}

TEST(quadratic_model, with_levenberg_marquardt_converges_on_a_quadratic) {
  LeastSquares model;
  NaturalGradient optimizer(model.parameters,
                            {.damping = {.absolute = 1, .rule = LevenbergMarquardt{}},
                             .step = QuadraticModel{},
                             .momentum = NoMomentum{},
                             .structure = Structure::diagonal});
  const Numbers best = solve(model.fisher(), 0, model.uphill(Numbers(8, 0.0)));
  for (int k = 0; k < 60; ++k) optimizer.step(model.batch());
  EXPECT_EQ(optimizer.report().outcome, Outcome::accepted);
  EXPECT_LT(optimizer.report().damping, 1e-3);
  EXPECT_TRUE(within(model.loss_at(model.theta()), model.loss_at(best), 1e-10));
}

}  // namespace

}  // namespace natgrad::tests
