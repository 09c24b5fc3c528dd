#include "natgrad/natgrad.hpp"
#include "support/device.hpp"
#include "support/layered_batch.hpp"
#include "support/plain.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

// Systems that are singular, or are only rounding: no step is taken along noise.

namespace natgrad::tests {

namespace {

constexpr std::array forms{Form::primal, Form::dual};

/// One step of dense rows (N, P) in double.
struct Attempt {
  NaturalGradient::Options options = {
      .damping = {.absolute = 0}, .step = FixedRate{1}, .momentum = NoMomentum{}};
  FisherKind kind = FisherKind::residual;
  Centering centering = Centering::none;
  Table rows;
  Numbers coefficients = {};
  Numbers gradient = {};

  StepReport take(Numbers* moved = nullptr) const {
    Tensor<double> theta(Numbers(rows.columns, 0.0));
    Tensor<double> s(rows);
    Tensor<double> c(coefficients.empty() ? Numbers{0} : coefficients);
    Tensor<double> g(gradient.empty() ? Numbers{0} : gradient);
    Parameters parameters(test_context());
    parameters.add(theta.view(), "theta");
    NaturalGradient optimizer(parameters, options);
    DenseScores scores(parameters, {.kind = kind});
    RowSet set{.centering = centering};
    if (!coefficients.empty()) set.coefficients = c.view();
    scores.begin(s.view(), set);
    Batch batch{.fisher = scores};
    if (!gradient.empty()) batch.gradient = Gradient{g.view()};
    optimizer.step(batch);
    StepReport report = optimizer.report();
    if (moved != nullptr) *moved = theta.numbers();
    return report;
  }
};

Table one_row(const Numbers& numbers) {
  Table table(1, numbers.size());
  table.elements = numbers;
  return table;
}

double length(const Numbers& x) { return std::sqrt(dot(x, x)); }

TEST(singular, exactly_singular_designs_are_no_step) {
  Random random(1);
  constexpr int designs = 500;
  for (int k = 0; k < designs; ++k) {
    SCOPED_TRACE(k);
    // The last column, or the last row, is three times another.
    Table columns = random.table(9, 4);
    for (std::size_t n = 0; n < columns.rows; ++n) columns(n, 3) = 3 * columns(n, 0);
    Attempt attempt{.rows = columns, .coefficients = random.numbers(9)};
    EXPECT_EQ(attempt.take().outcome, Outcome::not_positive_definite);
    attempt.coefficients.clear();
    attempt.gradient = random.numbers(4);
    EXPECT_EQ(attempt.take().outcome, Outcome::not_positive_definite);

    Table rows = random.table(3, 6);
    for (std::size_t i = 0; i < rows.columns; ++i) rows(2, i) = 3 * rows(0, i);
    attempt = {.rows = rows, .coefficients = random.numbers(3)};
    EXPECT_EQ(attempt.take().outcome, Outcome::not_positive_definite);
  }
}

/// More float rows than parameters, and a lambda that their rounding hides: K has no factor, and
/// corrections by what stands in its place grow without end.
TEST(singular, a_refused_refined_solve_says_what_residual_it_left) {
  constexpr std::size_t n = 40;
  constexpr std::size_t p = 12;
  for (const bool general : {false, true}) {
    for (int refinement : {1, 3, 6, 20}) {
      for (std::uint64_t seed = 0; seed < 20; ++seed) {
        SCOPED_TRACE(testing::Message() << refinement << " refinements, seed " << seed);
        Random random(seed);
        Tensor<float> theta(Numbers(p, 0.0));
        Tensor<float> rows(random.table(n, p));
        Tensor<float> coefficients(random.numbers(n));
        Tensor<float> gradient(random.numbers(p));
        Parameters parameters(test_context());
        parameters.add(theta.view());
        DenseScores scores(parameters);
        scores.begin(rows.view(), {.coefficients = coefficients.view()});
        NaturalGradient optimizer(parameters, {.damping = {.absolute = 1e-9},
                                               .momentum = NoMomentum{},
                                               .form = Form::dual,
                                               .refinement = refinement});
        Batch batch{.fisher = scores};
        if (general) batch.gradient = Gradient{.view = gradient.view()};
        optimizer.step(batch);
        const StepReport report = optimizer.report();
        EXPECT_EQ(report.outcome, Outcome::not_positive_definite) << to_string(report.outcome);
        EXPECT_GT(report.residual, 0.0) << "or not a number";
      }
    }
  }
}

TEST(singular, regular_designs_without_damping_are_steps_with_a_bound) {
  Random random(2);
  for (double smallest : {1.0, 1e-2, 1e-4}) {
    SCOPED_TRACE(smallest);
    Table columns = random.table(40, 4);
    for (std::size_t n = 0; n < columns.rows; ++n) {
      columns(n, 3) = 3 * columns(n, 0) + smallest * columns(n, 3);
    }
    const Attempt attempt{.rows = columns, .coefficients = random.numbers(40)};
    const StepReport report = attempt.take();
    EXPECT_EQ(report.outcome, Outcome::accepted);
    // It tells good systems from bad ones: the smaller the last pivot, the larger the bound.
    EXPECT_LE(report.error_bound, 1e-12 / (smallest * smallest));
    EXPECT_GE(report.error_bound, 1e-17 / (smallest * smallest));
  }
}

TEST(singular, a_gradient_outside_the_rows_has_their_fisher_norm) {
  // |s| = 1, so that S d = s.g / (1 + lambda).
  const Table row = one_row({0.6, 0.64, 0.48});
  for (Form form : forms) {
    for (double lambda : {1e-2, 1e-4, 1e-6, 1e-8, 1e-10}) {
      for (const Momentum& momentum : {Momentum{NoMomentum{}}, Momentum{HeavyBall{0.5}}}) {
        SCOPED_TRACE(std::string(to_string(form)) + ", lambda " +
                     std::to_string(std::log10(lambda)));
        Attempt attempt{.options = {.damping = {.absolute = lambda},
                                    .step = KlTrustRegion{.radius = 1e-2, .max_rate = 1e12},
                                    .momentum = momentum,
                                    .form = form},
                        .kind = FisherKind::exact,
                        .rows = row,
                        .gradient = {1, 0, 0}};
        Numbers moved;
        const StepReport report = attempt.take(&moved);
        ASSERT_EQ(report.outcome, Outcome::accepted);
        const double exact = std::pow(0.6 / (1 + lambda), 2);
        EXPECT_NEAR(report.quadratic_form / exact, 1, 1e-5);
        const double s_d = 0.6 * moved[0] + 0.64 * moved[1] + 0.48 * moved[2];
        EXPECT_NEAR(s_d * s_d / 2, 1e-2, 1e-2 * 2e-5);
      }
    }
  }
}

TEST(singular, rounding_of_rows_that_do_not_vary_is_no_matrix) {
  Table same(3, 3);
  for (std::size_t n = 0; n < 3; ++n) {
    same(n, 0) = 0.1;
    same(n, 1) = 0.7;
    same(n, 2) = 0.3;
  }
  for (Form form : forms) {
    SCOPED_TRACE(to_string(form));
    Attempt attempt{.options = {.damping = {.absolute = 0, .relative = 1e-2},
                                .momentum = NoMomentum{},
                                .form = form},
                    .kind = FisherKind::sampled,
                    .centering = Centering::rows,
                    .rows = same,
                    .coefficients = {1, 2, -3}};
    Numbers moved;
    EXPECT_EQ(attempt.take(&moved).outcome, Outcome::not_positive_definite);
    EXPECT_EQ(length(moved), 0);
    attempt.gradient = {1, 0, 0};
    attempt.coefficients.clear();
    EXPECT_EQ(attempt.take(&moved).outcome, Outcome::not_positive_definite);
    EXPECT_EQ(length(moved), 0);
    attempt.rows = one_row({0.1, 0.7, 0.3});  // one row
    EXPECT_EQ(attempt.take(&moved).outcome, Outcome::not_positive_definite);
    EXPECT_EQ(length(moved), 0);
  }
}

TEST(singular, equal_rewards_are_no_step_of_the_full_radius) {
  Random random(3);
  for (Form form : forms) {
    SCOPED_TRACE(to_string(form));
    const Attempt attempt{.options = {.damping = {.absolute = 3e-2},
                                      .step = KlTrustRegion{.radius = 1e-2, .max_rate = 1e30},
                                      .momentum = NoMomentum{},
                                      .form = form},
                          .kind = FisherKind::sampled,
                          .centering = Centering::rows,
                          .rows = random.table(100, 2),
                          .coefficients = Numbers(100, 0.1)};
    Numbers moved;
    const StepReport report = attempt.take(&moved);
    EXPECT_EQ(report.outcome, Outcome::accepted);
    EXPECT_EQ(length(moved), 0);
  }
}

TEST(singular, adding_a_number_to_all_coefficients_of_centred_rows_changes_nothing) {
  for (double mean : {0.0, 128.0}) {
    for (std::size_t n : {20, 200}) {
      for (Form form : forms) {
        SCOPED_TRACE(std::string(to_string(form)) + ", " + std::to_string(n) + " rows, mean " +
                     std::to_string(mean));
        Random random(4);
        Table rows = random.table(n, 30);
        for (std::size_t i = 0; i < n; ++i) {
          for (std::size_t j = 0; j < 30; ++j) rows(i, j) += mean;
        }
        // Multiples of 2^-10, from which 2048 is subtracted exactly.
        Numbers coefficients = random.numbers(n);
        for (double& c : coefficients) c = std::round(102.4 * c) / 1024;
        Attempt attempt{.options = {.damping = {.absolute = 1e-4},
                                    .step = FixedRate{1},
                                    .momentum = NoMomentum{},
                                    .form = form},
                        .kind = FisherKind::sampled,
                        .centering = Centering::rows,
                        .rows = rows,
                        .coefficients = coefficients};
        Numbers d;
        const double bound = attempt.take(&d).error_bound;
        for (double& c : attempt.coefficients) c -= 2048;
        Numbers shifted;
        attempt.take(&shifted);
        for (std::size_t i = 0; i < d.size(); ++i) shifted[i] -= d[i];
        EXPECT_LE(length(shifted) / length(d), 2 * bound + 1e-12);
      }
    }
  }
}

TEST(singular, few_parameters_are_solved_for_in_their_own_space) {
  // A line through six points: K (6, 6) of rank 2 would be singular.
  for (float damping : {1e-5F, 1e-6F, 1e-8F}) {
    Tensor<float> line(Numbers{0, 0});
    Table design(6, 2);
    Numbers y(6);
    for (std::size_t n = 0; n < 6; ++n) {
      const double x = static_cast<double>(n) - 2.5;
      design(n, 0) = 1;
      design(n, 1) = x;
      y[n] = 3 + 0.5 * x + 0.1 * std::sin(5.0 * static_cast<double>(n));
    }
    Tensor<float> rows(design);
    Tensor<float> targets(y);
    Parameters parameters(test_context());
    parameters.add(line.view(), "line");
    NaturalGradient optimizer(
        parameters,
        {.damping = {.absolute = damping}, .step = FixedRate{1}, .momentum = NoMomentum{}});
    DenseScores scores(parameters, {.kind = FisherKind::residual});
    scores.begin(rows.view(), {.coefficients = targets.view()});
    optimizer.step(scores);
    const StepReport report = optimizer.report();
    EXPECT_EQ(report.form, Form::primal);
    EXPECT_EQ(report.outcome, Outcome::accepted);
    EXPECT_NEAR(line.numbers()[0], 2.9987989, 1e-4);
    EXPECT_NEAR(line.numbers()[1], 0.5175662, 1e-5);
  }
}

}  // namespace

}  // namespace natgrad::tests
