#include "natgrad/natgrad.hpp"
#include "support/least_squares.hpp"
#include "support/loop.hpp"
#include "support/tolerance.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <stdexcept>
#include <string>

// Steps along theta + a d + a^2/2 c against a literal transcription of the algorithm, what they
// save on a narrow valley that bends, and what goes wrong.

namespace natgrad::tests {

namespace {

/// A sum of two decays fitted to data: residuals exp(-t e^p) + exp(-t e^q) - y(t), weighted.
struct Decays {
  static constexpr std::size_t samples = 9;
  static constexpr std::size_t size = 2;
  Context context = test_context();
  Tensor<double> theta;
  Parameters parameters{context};
  DenseScores rows;
  Tensor<double> weights{Random(31).numbers(samples)};
  Tensor<double> jacobian;
  Tensor<double> coefficients;
  int calls = 0;
  /// What the callable does in place of its work at that call.
  int bad_call = -1;
  double bad_value = 0;
  bool throws = false;

  explicit Decays(const Numbers& start = {1.5, -2.5})
      : theta(start),
        rows((parameters.add(theta.view(), "theta"), parameters), {.kind = FisherKind::residual}) {
    for (std::size_t n = 0; n < samples; ++n) weights(n) = 0.1 + std::abs(weights(n));
  }
  Decays(const Decays&) = delete;
  Decays& operator=(const Decays&) = delete;

  static double time(std::size_t n) { return 0.4 * static_cast<double>(n); }
  static Numbers residuals(const Numbers& at) {
    Numbers r;
    for (std::size_t n = 0; n < samples; ++n) {
      const double t = time(n);
      const double wanted = std::exp(-0.5 * t) + std::exp(-3 * t);
      r.push_back(std::exp(-t * std::exp(at[0])) + std::exp(-t * std::exp(at[1])) - wanted);
    }
    return r;
  }
  static Table derivatives(const Numbers& at) {
    Table J(samples, size);
    for (std::size_t n = 0; n < samples; ++n) {
      for (std::size_t j = 0; j < size; ++j) {
        const double x = time(n) * std::exp(at[j]);
        J(n, j) = -x * std::exp(-x);
      }
    }
    return J;
  }
  Numbers root_weights() const {
    Numbers w = weights.numbers();
    for (double& x : w) x = std::sqrt(x);
    return w;
  }
  Numbers weighted_residuals(const Numbers& at) const {
    Numbers r = residuals(at);
    const Numbers roots = root_weights();
    for (std::size_t n = 0; n < samples; ++n) r[n] *= roots[n];
    return r;
  }
  double loss(const Numbers& at) const {
    const Numbers R = weighted_residuals(at);
    return dot(R, R) / 2;
  }
  Table weighted_jacobian(const Numbers& at) const {
    Table J = derivatives(at);
    const Numbers roots = root_weights();
    for (std::size_t n = 0; n < samples; ++n) {
      for (std::size_t j = 0; j < size; ++j) J(n, j) *= roots[n];
    }
    return J;
  }

  Batch batch() {
    const Numbers at = theta.numbers();
    jacobian = Tensor<double>(derivatives(at));
    Numbers c = residuals(at);
    for (double& x : c) x = -x;
    coefficients = Tensor<double>(c);
    rows.begin(jacobian.view(), {.weights = weights.view(), .coefficients = coefficients.view()});
    const auto measure = [this](const View& result) {
      const int call = calls++;
      if (call == bad_call && throws) throw std::runtime_error("no residuals");
      Numbers r = residuals(theta.numbers());
      if (call == bad_call) r[3] = bad_value;
      context.write(r.data(), result);
    };
    return {.fisher = rows, .residuals = measure};
  }
};

/// The algorithm, line by line: a step from `theta`, and what is remembered.
struct Transcription {
  const Decays& problem;
  GeodesicAcceleration rule;
  StepLengthDamping follow;
  double lambda;
  double last = 0;

  struct Step {
    double rate = 0;
    double loss = 0;
    int trials = 0;
  };

  Step step(Numbers& theta) {
    const Table J = problem.weighted_jacobian(theta);
    const Numbers R = problem.weighted_residuals(theta);
    Numbers minus_R = R;
    for (double& x : minus_R) x = -x;
    const Numbers d = damped_direction(J, lambda, minus_R);
    const double before = last > 0 ? last : rule.first_rate;
    const double h = rule.probe * before;
    const Numbers there = problem.weighted_residuals(sum(h, d, theta));
    const Numbers Jd = multiply(J, d);
    Numbers minus_k;
    for (std::size_t n = 0; n < R.size(); ++n) {
      minus_k.push_back(-2 / h * ((there[n] - R[n]) / h - Jd[n]));
    }
    const Numbers c = damped_direction(J, lambda, minus_k);
    const auto along = [&](double a) { return sum(a * a / 2, c, sum(a, d, theta)); };
    double a = std::min(rule.max_rate, rule.growth * before);
    Step best{.loss = problem.loss(theta)};
    for (int i = 1; i <= rule.trials; ++i, a *= rule.shrink) {
      const double loss = problem.loss(along(a));
      best.trials = i;
      if (loss < best.loss) {
        best.loss = loss;
        best.rate = a;
      } else if (best.rate > 0) {
        break;
      }
    }
    if (best.rate > 0) theta = along(best.rate);
    last = best.rate;
    if (best.rate == 0) lambda *= follow.after_rejection;
    if (best.rate >= follow.long_rate) lambda *= follow.decrease;
    if (best.rate > 0 && best.rate < follow.short_rate) lambda *= follow.increase;
    lambda = std::clamp(lambda, follow.smallest, follow.largest);
    return best;
  }
};

Options options_of(const Damping& how, Form form = Form::automatic,
                   const StepRule& rule = GeodesicAcceleration{}) {
  return {.damping = how, .step = rule, .momentum = NoMomentum{}, .form = form};
}
Damping following(double lambda) {
  return {.absolute = lambda, .rule = StepLengthDamping{.smallest = 1e-6}};
}

TEST(geodesic, is_the_algorithm_as_it_is_written) {
  for (Form form : forms) {
    SCOPED_TRACE(to_string(form));
    Decays problem({3, -5});
    NaturalGradient optimizer(problem.parameters, options_of(following(1e-3), form));
    Transcription reference{
        .problem = problem, .rule = {}, .follow = {.smallest = 1e-6}, .lambda = 1e-3};
    Numbers theta = problem.theta.numbers();
    bool searched = false;
    for (int k = 0; k < 6; ++k) {
      SCOPED_TRACE(k);
      const double lambda = reference.lambda;
      const double before = problem.loss(theta);
      const Transcription::Step expected = reference.step(theta);
      optimizer.step(problem.batch());
      const StepReport report = optimizer.report();
      ASSERT_EQ(report.outcome, Outcome::accepted);
      EXPECT_EQ(report.rate, expected.rate);
      EXPECT_EQ(report.trials, expected.trials);
      EXPECT_TRUE(within(report.damping, lambda, 1e-14 * lambda));
      EXPECT_TRUE(within(report.loss_before.value(), before, 1e-9));
      EXPECT_TRUE(within(report.loss_after.value(), expected.loss, 1e-9));
      for (std::size_t i = 0; i < Decays::size; ++i) {
        EXPECT_TRUE(within(problem.theta(i), theta[i], 1e-9)) << i;
      }
      searched = searched || expected.trials > 2;
    }
    EXPECT_TRUE(searched) << "some rate was refused";
  }
}

/// Steps of a rule until the loss of Rosenbrock's narrow valley, residuals 100 (y - x^2) and 1 - x,
/// is below 1e-16, from his starting point.
int steps_along_the_valley(const StepRule& rule) {
  Parameters parameters(test_context());
  Tensor<double> theta(Numbers{-1.2, 1});
  parameters.add(theta.view());
  const auto residuals = [&] {
    const double x = theta(0);
    return Numbers{100 * (theta(1) - x * x), 1 - x};
  };
  NaturalGradient optimizer(
      parameters, options_of({.absolute = 1e-3, .rule = StepLengthDamping{.smallest = 1e-8}},
                             Form::primal, rule));
  DenseScores rows(parameters, {.kind = FisherKind::residual});
  const auto measure = [&](const View& result) {
    const Numbers r = residuals();
    parameters.context().write(r.data(), result);
  };
  const auto loss = [&](const View& result) {
    const Numbers r = residuals();
    const double value = dot(r, r) / 4;
    parameters.context().write(&value, result);
  };
  for (int k = 1; k <= 300; ++k) {
    Table J(2, 2);
    J(0, 0) = -200 * theta(0);
    J(0, 1) = 100;
    J(1, 0) = -1;
    Tensor<double> jacobian(J);
    const Numbers r = residuals();
    Tensor<double> coefficients(Numbers{-r[0], -r[1]});
    rows.begin(jacobian.view(), {.coefficients = coefficients.view()});
    optimizer.step({.fisher = rows, .loss = loss, .residuals = measure});
    const Numbers after = residuals();
    if (dot(after, after) < 1e-16) return k;
  }
  return 301;
}

TEST(geodesic, takes_a_bending_valley_in_fewer_steps) {
  const int bent = steps_along_the_valley(GeodesicAcceleration{});
  const int straight = steps_along_the_valley(Backtracking{.trials = 20, .sufficient_decrease = 0});
  EXPECT_LT(bent, 12);
  EXPECT_GT(straight, 3 * bent);
}

TEST(geodesic, numbers_that_are_no_numbers_leave_a_straight_step_or_none) {
  constexpr double infinite = std::numeric_limits<double>::infinity();
  // The probe: c is 0, and the step is that of the direction alone.
  Decays problem;
  const Numbers before = problem.theta.numbers();
  NaturalGradient optimizer(problem.parameters, options_of(following(1e-2)));
  problem.bad_call = 0;
  problem.bad_value = infinite;
  optimizer.step(problem.batch());
  StepReport report = optimizer.report();
  ASSERT_EQ(report.outcome, Outcome::accepted);
  Numbers minus_R = problem.weighted_residuals(before);
  for (double& x : minus_R) x = -x;
  const Numbers d = damped_direction(problem.weighted_jacobian(before), 1e-2, minus_R);
  for (std::size_t i = 0; i < Decays::size; ++i) {
    EXPECT_TRUE(within(problem.theta(i), before[i] + report.rate * d[i], 1e-12));
  }
  // A trial: the next rate.
  Decays other;
  NaturalGradient second(other.parameters, options_of(following(1e-2)));
  other.bad_call = 1;
  other.bad_value = nan;
  second.step(other.batch());
  report = second.report();
  EXPECT_EQ(report.outcome, Outcome::accepted);
  EXPECT_LE(report.rate, 0.5);
  EXPECT_GT(report.trials, 1);
}

TEST(geodesic, where_nothing_falls_the_step_is_rejected_and_the_damping_grows) {
  Decays problem({std::log(0.5), std::log(3.0)});  // the minimum: a loss of 0
  const Numbers before = problem.theta.numbers();
  NaturalGradient optimizer(problem.parameters, options_of(following(1e-3), Form::dual,
                                                           GeodesicAcceleration{.trials = 3}));
  optimizer.step(problem.batch());
  const StepReport report = optimizer.report();
  EXPECT_EQ(report.outcome, Outcome::rejected);
  EXPECT_EQ(report.trials, 3);
  EXPECT_EQ(problem.theta.numbers(), before);
  optimizer.step(problem.batch());
  EXPECT_TRUE(within(optimizer.report().damping, 0.1, 1e-12));
}

TEST(geodesic, a_failed_factorization_multiplies_the_damping) {
  // Both columns are one: S^T S is singular, and a damping far below its rounding does not help.
  Decays problem({0.5, 0.5});
  const Numbers before = problem.theta.numbers();
  NaturalGradient optimizer(
      problem.parameters,
      options_of(
          {.absolute = 1e-30, .rule = StepLengthDamping{.after_failure = 1e20, .smallest = 1e-30}},
          Form::primal));
  optimizer.step(problem.batch());
  StepReport report = optimizer.report();
  EXPECT_EQ(report.outcome, Outcome::not_positive_definite);
  EXPECT_EQ(report.trials, 0);
  EXPECT_EQ(problem.theta.numbers(), before);
  optimizer.step(problem.batch());
  report = optimizer.report();
  EXPECT_EQ(report.outcome, Outcome::accepted);
  EXPECT_TRUE(within(report.damping, 1e-10, 1e-22));
}

TEST(geodesic, residuals_that_throw_leave_no_trace) {
  for (int call : {0, 1, 2}) {
    SCOPED_TRACE(call);
    Decays problem;
    NaturalGradient optimizer(problem.parameters,
                              options_of(following(1e-3), Form::primal,
                                         GeodesicAcceleration{.max_rate = 50, .first_rate = 50}));
    problem.throws = true;
    problem.bad_call = call;
    const Numbers before = problem.theta.numbers();
    EXPECT_THROW(optimizer.step(problem.batch()), std::runtime_error);
    EXPECT_EQ(problem.theta.numbers(), before);
    optimizer.step(problem.batch());
    EXPECT_EQ(optimizer.report().step, 1);
  }
}

TEST(geodesic, refuses_what_it_cannot_do) {
  Decays problem;
  const auto refused = [&](const char* text, const auto& change) {
    Options options = options_of(following(1e-3));
    change(options);
    try {
      const NaturalGradient optimizer(problem.parameters, options);
      ADD_FAILURE() << "nothing was thrown instead of: " << text;
    } catch (const OptionError& error) {
      EXPECT_NE(std::string(error.what()).find(text), std::string::npos) << error.what();
    }
  };
  refused(".momentum = NoMomentum", [](Options& o) { o.momentum = Spring{}; });
  refused(".structure = full", [](Options& o) { o.structure = Structure::diagonal; });
  refused(".l2 = 0", [](Options& o) { o.l2 = 1; });
  refused(".weight_decay = 0", [](Options& o) { o.weight_decay = 0.1; });
  refused(".rate_factors", [](Options& o) { o.rate_factors = {{{0}, 0.5}}; });
  refused("StepLengthDamping", [](Options& o) { o.damping.rule = LevenbergMarquardt{}; });
  refused(".step growth = 0.5", [](Options& o) { o.step = GeodesicAcceleration{.growth = 0.5}; });
  refused(".step probe = 0", [](Options& o) { o.step = GeodesicAcceleration{.probe = 0}; });
  refused(".step trials = 65", [](Options& o) { o.step = GeodesicAcceleration{.trials = 65}; });
  refused(".damping decrease = 2",
          [](Options& o) { o.damping.rule = StepLengthDamping{.decrease = 2}; });
  refused("between the bounds of StepLengthDamping", [](Options& o) { o.damping.absolute = 2; });

  NaturalGradient optimizer(problem.parameters, options_of(following(1e-3)));
  Batch batch = problem.batch();
  EXPECT_THROW(optimizer.step({.fisher = batch.fisher}), OptionError) << "no residuals";
  DenseScores empirical(problem.parameters);
  empirical.begin(problem.jacobian.view());
  expect_refused("FisherKind::residual",
                 [&] { optimizer.step({.fisher = empirical, .residuals = batch.residuals}); });
  expect_refused("rows' own gradient", [&] {
    optimizer.step(
        {.fisher = batch.fisher, .gradient = batch.fisher, .residuals = batch.residuals});
  });
  expect_refused("not its parts", [&] {
    problem.rows.begin(problem.jacobian.view(), {.batch_samples = 2 * Decays::samples,
                                                 .coefficients = problem.coefficients.view()});
    optimizer.accumulate({.fisher = problem.rows, .residuals = batch.residuals});
  });
}

}  // namespace

}  // namespace natgrad::tests
