#include "natgrad/natgrad.hpp"
#include "support/direction_bound.hpp"
#include "support/layered_batch.hpp"
#include "support/plain.hpp"
#include "support/softmax_net.hpp"
#include "support/tolerance.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>

// What the coefficients c_n are for, g = S^T r with r_n = sqrt(w_n) c_n: maximum likelihood,
// weighted samples, least squares and policy gradients, each on a problem whose answer is known.

namespace natgrad::tests {

namespace {

constexpr std::array forms{Form::primal, Form::dual};

/// Returns whether every pair of numbers differs by at most `bound`.
testing::AssertionResult all_within(const Numbers& actual, const Numbers& expected, double bound) {
  for (std::size_t i = 0; i < expected.size(); ++i) {
    if (!is_within(actual[i], expected[i], bound)) {
      return testing::AssertionFailure() << "number " << i << ": " << actual[i] << ", expected "
                                         << expected[i] << " within " << bound;
    }
  }
  return testing::AssertionSuccess();
}

// Logistic regression with one input on data that overlap: of four samples at x = 0 one has y = 1,
// of four at x = 1 three have. There the fit is b = -log 3, w = 2 log 3.
TEST(coefficients, of_one_are_maximum_likelihood) {
  const Numbers x = {0, 0, 0, 0, 1, 1, 1, 1}, y = {0, 0, 0, 1, 0, 1, 1, 1};
  for (const Form form : forms) {
    for (const bool given : {false, true}) {
      SCOPED_TRACE(testing::Message() << to_string(form) << (given ? ", given" : ""));
      Tensor<double> theta(Numbers{0, 0});
      Parameters parameters(test_context());
      parameters.add(theta.view());
      NaturalGradient optimizer(parameters, {.damping = {.absolute = 1e-4},
                                             .step = FixedRate{1},
                                             .momentum = NoMomentum{},
                                             .form = form});
      DenseScores scores(parameters);
      Tensor<double> ones(Numbers(8, 1.0));
      Tensor<double> rows(Table(8, 2));
      for (int step = 0; step < 12; ++step) {
        const Numbers at = theta.numbers();
        for (std::size_t n = 0; n < 8; ++n) {
          const double score = y[n] - 1 / (1 + std::exp(-(at[0] * x[n] + at[1])));
          rows(n, 0) = score * x[n];
          rows(n, 1) = score;
        }
        scores.begin(rows.view(), {.coefficients = given ? ones.view() : ConstView()});
        optimizer.step(scores);
      }
      EXPECT_TRUE(all_within(theta.numbers(), {2 * std::log(3), -std::log(3)}, 1e-10));
    }
  }
}

// Row n with the weight k_n / M is k_n rows of weight 1 / M: the same F, the same g, the same step.
TEST(coefficients, of_weighted_samples_are_those_of_repeated_ones) {
  const std::array<std::size_t, 6> times = {1, 3, 0, 2, 1, 5};
  constexpr std::size_t M = 12;
  for (const Form form : forms) {
    LayeredBatch<double> batch(
        {.layers = {{.inputs = 3, .outputs = 2}, {.inputs = 2, .outputs = 1}}, .samples = 6});
    const Numbers c = {0.5, -1, 7, 2, 1, -0.3};
    Numbers weights;
    Numbers repeated_c;
    Table repeated(M, batch.rows.columns);
    std::size_t next = 0;
    for (std::size_t n = 0; n < 6; ++n) {
      weights.push_back(static_cast<double>(times[n]) / M);
      for (std::size_t k = 0; k < times[n]; ++k, ++next) {
        repeated_c.push_back(c[n]);
        for (std::size_t i = 0; i < repeated.columns; ++i) repeated(next, i) = batch.rows(n, i);
      }
    }
    constexpr double damping = 0.1;
    Tensor<double> w(weights), r(c), rows(repeated), repeated_r(repeated_c);
    const LayerScores few = batch.scores({.weights = w.view(), .coefficients = r.view()});
    DenseScores many(batch.parameters);
    many.begin(rows.view(), {.coefficients = repeated_r.view()});
    NaturalGradient optimizer(batch.parameters, {.damping = {.absolute = damping}, .form = form});
    const auto direction_of = [&](const Scores& scores) {
      Tensor<double> direction = zeros<double>(batch.parameters.size());
      optimizer.direction(scores, direction.view());
      EXPECT_EQ(optimizer.direction_report().outcome, Outcome::accepted);
      return direction.numbers();
    };
    const double bound =
        2 * direction_bound(weighted(repeated, Numbers(M, 1.0 / M)), ElementType::float64, damping);
    EXPECT_TRUE(relative_error_within(direction_of(few), direction_of(many), bound));
  }
}

/// Residuals of a linear model, A theta - y, and least squares of them with weights w.
struct LinearProblem {
  Table A;
  Numbers y;
  Numbers w;

  LinearProblem(std::size_t rows, std::size_t columns) {
    Random random(rows);
    A = random.table(rows, columns);
    y = random.numbers(rows);
    for (std::size_t n = 0; n < rows; ++n) w.push_back(0.6 + 0.5 * random());
  }
  Numbers minus_residual(const Numbers& theta) const { return sum(-1, multiply(A, theta), y); }
};

/// Takes Gauss-Newton steps of rate 1 from `theta` and returns where they lead.
Numbers gauss_newton(const LinearProblem& problem, Numbers start,
                     const NaturalGradient::Options& options, int steps) {
  Tensor<double> theta(start);
  Parameters parameters(test_context());
  parameters.add(theta.view());
  NaturalGradient optimizer(parameters, options);
  DenseScores scores(parameters, {.kind = FisherKind::residual});
  Tensor<double> rows(problem.A), weights(problem.w);
  for (int step = 0; step < steps; ++step) {
    Tensor<double> coefficients(problem.minus_residual(theta.numbers()));
    scores.begin(rows.view(), {.weights = weights.view(), .coefficients = coefficients.view()});
    optimizer.step(scores);
    EXPECT_EQ(optimizer.report().outcome, Outcome::accepted);
    EXPECT_FALSE(optimizer.report().predicted_kl.has_value()) << "residuals are no distribution";
  }
  return theta.numbers();
}

// One step without damping solves a linear problem, wherever it begins, and a second one stays.
TEST(coefficients, of_minus_the_residual_are_least_squares) {
  const LinearProblem problem(30, 5);
  const Table S = weighted(problem.A, problem.w);
  const Numbers expected =
      solve(gram(transposed(S)), 0, multiply(transposed(S), right_hand_side(problem.w, problem.y)));
  for (const int steps : {1, 2}) {
    const Numbers found = gauss_newton(problem, {1, -2, 3, 0, 5},
                                       {.damping = {.absolute = 0},
                                        .step = FixedRate{1},
                                        .momentum = NoMomentum{},
                                        .form = Form::primal},
                                       steps);
    EXPECT_TRUE(all_within(found, expected, 1e-12)) << steps << " steps";
  }
}

// With more parameters than residuals the step is the shortest that makes all residuals vanish:
// start + A^T (A A^T)^-1 (y - A start).
TEST(coefficients, of_minus_the_residual_solve_what_has_many_solutions) {
  const LinearProblem problem(4, 9);
  Random random(8);
  const Numbers start = random.numbers(9);
  const Numbers found = gauss_newton(problem, start,
                                     {.damping = {.absolute = 0},
                                      .step = FixedRate{1},
                                      .momentum = NoMomentum{},
                                      .form = Form::dual},
                                     1);
  EXPECT_TRUE(all_within(multiply(problem.A, found), problem.y, 1e-12));
  const Numbers shortest =
      multiply(transposed(problem.A), solve(gram(problem.A), 0, problem.minus_residual(start)));
  EXPECT_TRUE(all_within(found, sum(1, shortest, start), 1e-11));
}

/// The reward of action `a` in state `n`.
double reward(std::size_t n, std::size_t a) {
  return std::sin(static_cast<double>(3 * n + 2 * a)) + 0.5 * static_cast<double>(a);
}

/// Mean over the states of the expected reward.
double expected_reward(const Table& log_p) {
  double total = 0;
  for (std::size_t n = 0; n < log_p.rows; ++n) {
    for (std::size_t a = 0; a < log_p.columns; ++a) total += std::exp(log_p(n, a)) * reward(n, a);
  }
  return total / static_cast<double>(log_p.rows);
}

/// A softmax policy in 20 states, and actions drawn in each.
struct PolicyTrial {
  std::size_t draws;
  SoftmaxNet model{{3, 4, 3}, 20};
  LayerScores rows{model.net.parameters(), {.kind = FisherKind::sampled}};
  Tensor<double> rewards = {};

  /// Takes a step; `reward_of(n, a)`.
  template <class RewardOf>
  StepReport step(const RewardOf& reward_of, const KlTrustRegion& rule, Form form) {
    model.net.sample(static_cast<std::int64_t>(draws));
    const auto taken =
        host_copy<std::int32_t>(model.net.parameters().context(), model.net.sampled_targets());
    Numbers numbers;
    for (std::size_t i = 0; i < taken.size(); ++i) {
      numbers.push_back(reward_of(i / draws, static_cast<std::size_t>(taken[i])));
    }
    rewards = Tensor<double>(numbers);
    model.net.add_sampled_to(rows, {.samples = static_cast<std::int64_t>(taken.size()),
                                    .coefficients = rewards.view(),
                                    .centering = Centering::rows});
    NaturalGradient optimizer(
        model.net.parameters(),
        {.damping = {.absolute = 1e-2}, .step = rule, .momentum = NoMomentum{}, .form = form});
    optimizer.step(rows);
    model.net.forward(model.inputs.view());
    return optimizer.report();
  }
};

// The step predicts the radius, the policy moves by about that much, and earns more.
TEST(coefficients, of_rewards_are_a_natural_policy_gradient) {
  for (const double radius : {1e-4, 1e-3}) {
    PolicyTrial trial{500};
    const Table before = log_probabilities(trial.model.net);
    const StepReport report = trial.step(reward, {.radius = radius, .max_rate = 1e3}, Form::primal);
    EXPECT_EQ(report.outcome, Outcome::accepted);
    EXPECT_TRUE(within(report.predicted_kl.value(), radius, 1e-13));
    const Table after = log_probabilities(trial.model.net);
    double divergence = 0;
    for (std::size_t i = 0; i < before.elements.size(); ++i) {
      divergence += std::exp(before.elements[i]) * (before.elements[i] - after.elements[i]);
    }
    divergence /= static_cast<double>(before.rows);
    EXPECT_TRUE(within(divergence, radius, 0.15 * radius)) << "10,000 actions err by some percent";
    EXPECT_GT(expected_reward(after), expected_reward(before) + 0.5 * std::sqrt(radius));
  }
}

// Their sum has a rounding, and a trust region would stretch it to the radius.
TEST(coefficients, of_equal_rewards_move_nothing) {
  for (const double equal : {0.0, 0.1, 1e6 + 0.1}) {
    PolicyTrial trial{10};
    const Numbers before = trial.model.theta();
    const StepReport report = trial.step([&](std::size_t, std::size_t) { return equal; },
                                         {.radius = 1e-2, .max_rate = 1e3}, Form::primal);
    EXPECT_EQ(report.outcome, Outcome::accepted);
    EXPECT_EQ(report.quadratic_form, 0) << equal;
    EXPECT_EQ(report.predicted_kl.value(), 0);
    EXPECT_TRUE(same_bits(trial.model.theta(), before)) << equal;
  }
}

// How a program does it that plays with one net and learns from what it played: rows at the actions
// taken, whose scores are of FisherKind::sampled because they were drawn.
TEST(coefficients, go_with_rows_at_actions_that_were_taken) {
  SoftmaxNet model({3, 4, 3}, 30);
  model.net.sample();
  Tensor<double> advantages(Random(4).numbers(30));
  const RowSet set = {.samples = 30, .coefficients = advantages.view()};
  LayerScores drawn(model.net.parameters(), {.kind = FisherKind::sampled});
  model.net.add_sampled_to(drawn, set);
  const auto taken =
      host_copy<std::int32_t>(model.net.parameters().context(), model.net.sampled_targets());
  Labels labels(taken.begin(), taken.end());
  model.net.backward(view_of(labels));
  LayerScores rows(model.net.parameters(), {.kind = FisherKind::sampled});
  model.net.add_to(rows, set);
  NaturalGradient optimizer(model.net.parameters(), {.step = KlTrustRegion{}});
  Tensor<double> expected = zeros<double>(model.net.parameters().size());
  Tensor<double> found = zeros<double>(model.net.parameters().size());
  optimizer.direction(drawn, expected.view());
  optimizer.direction(rows, found.view());
  EXPECT_TRUE(same_bits(found.memory(), expected.memory()));
}

}  // namespace

}  // namespace natgrad::tests
