#include "natgrad/natgrad.hpp"
#include "support/centered_batch.hpp"
#include "support/direction_bound.hpp"
#include "support/layered_batch.hpp"
#include "support/plain.hpp"
#include "support/tolerance.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <variant>
#include <vector>

// Centred rows against rows centred plainly in double, also where the mean is 1000 times the
// spread.

namespace natgrad::tests {

namespace {

constexpr std::array forms{Form::primal, Form::dual};
constexpr std::array centerings{Centering::rows, Centering::fisher_only};

/// Calls body(T, shape, form, centering) for everything that centring must not care about.
template <class Body>
void for_all(const Body& body) {
  for (Rowed rowed : {Rowed::dense, Rowed::layers, Rowed::terms}) {
    for (double spread : {1.0, 1e-3}) {
      for (std::size_t samples : {10, 30}) {
        for (Form form : forms) {
          for (Centering centering : centerings) {
            const CenteredShape shape{.rowed = rowed, .samples = samples, .spread = spread};
            SCOPED_TRACE(testing::Message()
                         << to_string(form) << ", rows " << static_cast<int>(rowed)
                         << ", centering " << static_cast<int>(centering) << ", spread " << spread
                         << ", " << samples);
            body(double{}, shape, form, centering);
            body(float{}, shape, form, centering);
          }
        }
      }
    }
  }
}

/// Everything is computed in double from the rows, mean and all, and stored in their type. Never
/// more than the 1e-4 that a user may count on.
template <class T>
double bound_of(const CentredBatch<T>& batch, double damping) {
  const double bound = direction_bound(batch.S, ElementType::float64, damping) +
                       rounding_bound(4, element_type_of<T>, 1);
  EXPECT_LT(bound, 1e-4);
  return bound;
}

template <class T>
Numbers solve(FisherMatrix& fisher, const Numbers* gradient = nullptr) {
  Tensor<T> direction = zeros<T>(fisher.size());
  if (gradient == nullptr) {
    fisher.solve(Coefficients{}, direction.view());
  } else {
    Tensor<T> g(*gradient);
    fisher.solve(Gradient{.view = g.view(), .scale = -2}, direction.view());
  }
  EXPECT_EQ(fisher.report().outcome, Outcome::accepted);
  return direction.numbers();
}

TEST(centering, solves_are_those_of_rows_centred_before) {
  for_all([]<class T>(T, const CenteredShape& shape, Form form, Centering centering) {
    CentredBatch<T> batch(shape);
    const double rank = static_cast<double>(std::min(shape.samples, batch.size));
    const double mean_eigenvalue = trace(batch.F) / rank;
    const double damping = 0.3 * mean_eigenvalue;
    FisherMatrix fisher(
        batch.parameters,
        {.form = form, .damping = {.absolute = 0.1 * mean_eigenvalue, .relative = 0.2}});
    batch.with_scores(centering, [&](const Scores& scores) { fisher.accumulate(scores); });
    const double bound = bound_of(batch, damping);

    const Numbers g = batch.gradient(centering);
    const Numbers expected = solve(batch.F, damping, g);
    EXPECT_TRUE(relative_error_within(solve<T>(fisher), expected, bound));
    const SolveReport report = fisher.report();
    EXPECT_TRUE(within(report.damping, damping, bound * damping));
    EXPECT_TRUE(report.error_bound <= 1e-4);
    EXPECT_TRUE(relative_error(solve<T>(fisher), expected) <= 2 * report.error_bound);
    const double quadratic = dot(expected, multiply(batch.F, expected));
    EXPECT_TRUE(within(report.quadratic_form, quadratic,
                       2 * bound * trace(batch.F) * dot(expected, expected)));

    if (centering == Centering::fisher_only) {
      // The formula as it is published, from the solution of the uncentred system.
      const Numbers d = damped_direction(batch.S, damping, batch.roots);
      const double total = dot(batch.roots, batch.roots);
      const double left = 1 - dot(batch.roots, multiply(batch.S, d)) / total;
      if (shape.spread == 1) {
        EXPECT_TRUE(relative_error_within(expected, sum(1 / left - 1, d, d), 1e-9));
      }
      return;
    }
    Random random(3);
    const Numbers other = Tensor<T>(random.numbers(batch.size)).numbers();
    EXPECT_TRUE(relative_error_within(solve<T>(fisher, &other),
                                      solve(batch.F, damping, sum(-3, other, other)), 2 * bound));
    if (form == Form::primal) return;
    Tensor<T> given(random.numbers(shape.samples));
    Tensor<T> direction = zeros<T>(fisher.size());
    fisher.solve(Coefficients{given.view()}, direction.view());
    const Numbers r = right_hand_side(batch.weights.numbers(), given.numbers());
    EXPECT_TRUE(relative_error_within(
        direction.numbers(), solve(batch.F, damping, multiply(transposed(batch.C), r)), bound));
  });
}

TEST(centering, the_matrix_is_that_of_rows_centred_before) {
  for_all([]<class T>(T, const CenteredShape& shape, Form form, Centering centering) {
    CentredBatch<T> batch(shape);
    constexpr ElementType type = element_type_of<T>;
    FisherMatrix fisher(batch.parameters, {.form = form, .tile_rows = 7});
    batch.with_scores(centering, [&](const Scores& scores) { fisher.accumulate(scores); });
    // What double loses of the rows' mean, and what their type loses of what is left.
    const double whole = trace(batch.F);
    const double bound =
        sum_bound(60, ElementType::float64, trace(gram(batch.S))) + sum_bound(40, type, whole);
    EXPECT_LT(bound, 1e-4 * whole);
    Tensor<T> matrix(batch.F, 2);
    Tensor<double> wide(batch.F);
    fisher.to_dense(matrix.view());
    fisher.to_dense(wide.view());
    Tensor<T> diagonal = zeros<T>(fisher.size());
    fisher.diagonal(diagonal.view());
    for (std::size_t i = 0; i < batch.size; ++i) {
      EXPECT_TRUE(within(diagonal(i), batch.F(i, i), bound));
      for (std::size_t j = 0; j < batch.size; ++j) {
        EXPECT_TRUE(within(matrix(i, j), batch.F(i, j), bound));
        EXPECT_TRUE(within(wide(i, j), batch.F(i, j), bound));
      }
    }
    EXPECT_TRUE(within(fisher.trace(), whole, 17 * bound));
    Random random(5);
    Tensor<T> v(random.numbers(batch.size));
    Tensor<T> product = zeros<T>(fisher.size());
    fisher.apply(v.view(), product.view());
    const Numbers expected = multiply(batch.F, v.numbers());
    const double length = dot(v.numbers(), v.numbers());
    for (std::size_t i = 0; i < batch.size; ++i) {
      EXPECT_TRUE(within(product(i), expected[i], bound * std::sqrt(length)));
    }
    EXPECT_TRUE(
        within(fisher.quadratic_form(v.view()), dot(v.numbers(), expected), bound * length));
  });
}

TEST(centering, parts_add_up_to_the_whole_also_after_a_solve) {
  for_all([]<class T>(T, const CenteredShape& shape, Form form, Centering centering) {
    CentredBatch<T> batch(shape);
    const double damping = 0.3 * trace(batch.F) / 10;
    const auto samples = static_cast<std::int64_t>(shape.samples);
    FisherMatrix fisher(batch.parameters,
                        {.form = form, .damping = {.absolute = damping}, .samples = samples});
    std::size_t first = 0;
    for (std::size_t count : {std::size_t{3}, std::size_t{5}, shape.samples - 8}) {
      batch.with_scores(centering, first, count, FisherKind::exact, [&](const Scores& scores) {
        fisher.accumulate(scores);
        solve<T>(fisher);
      });
      first += count;
    }
    const double bound = bound_of(batch, damping);
    EXPECT_TRUE(relative_error_within(
        solve<T>(fisher), solve(batch.F, damping, batch.gradient(centering)), 2 * bound));
    EXPECT_TRUE(within(fisher.trace(), trace(batch.F), bound * trace(batch.F)));
  });
}

TEST(centering, refinement_keeps_to_its_bound) {
  for_all([]<class T>(T, const CenteredShape& shape, Form form, Centering centering) {
    if (form == Form::primal) return;
    CentredBatch<T> batch(shape);
    const double damping = 1e-3 * trace(batch.F);
    FisherMatrix fisher(batch.parameters,
                        {.form = form, .damping = {.absolute = damping}, .refinement = 2});
    batch.with_scores(centering, [&](const Scores& scores) { fisher.accumulate(scores); });
    const Numbers expected = solve(batch.F, damping, batch.gradient(centering));
    const double error = relative_error(solve<T>(fisher), expected);
    // The reference itself is a solve in double.
    EXPECT_TRUE(error <= fisher.report().error_bound + 1e-11) << error;
    EXPECT_TRUE(fisher.report().error_bound <= 1e-4);
  });
}

TEST(centering, the_gradient_of_scores_is_that_of_centred_rows) {
  for_all([]<class T>(T, const CenteredShape& shape, Form form, Centering centering) {
    if (form == Form::dual) return;  // there is no form to it
    CentredBatch<T> batch(shape);
    Tensor<T> gradient = zeros<T>(static_cast<std::int64_t>(batch.size));
    batch.with_scores(centering, [&](const Scores& scores) { scores.gradient(gradient.view()); });
    EXPECT_TRUE(relative_error_within(gradient.numbers(), batch.gradient(centering),
                                      centering == Centering::rows ? 1e-5 : 1e-6));
  });
}

/// theta after two steps on two batches, whole or in parts, by the formulas.
template <class T>
void check_steps(const CenteredShape& shape, Form form, Centering centering,
                 const Momentum& momentum, bool in_parts) {
  SCOPED_TRACE(testing::Message() << "momentum " << momentum.index() << ", parts " << in_parts);
  CentredBatch<T> net(shape);
  const double damping = 0.2 * trace(net.F);
  constexpr double radius = 1e-4;
  NaturalGradient optimizer(
      net.parameters,
      {.damping = {.absolute = damping},
       .step = KlTrustRegion{.radius = radius, .max_rate = 1e9, .allow_empirical = true},
       .momentum = momentum,
       .form = form});
  Numbers theta = net.theta_numbers();
  Numbers previous(net.size, 0.0);
  double bound = 0;
  for (int step = 0; step < 2; ++step) {
    if (in_parts) {
      std::size_t first = 0;
      for (std::size_t count : {std::size_t{3}, shape.samples - 3}) {
        net.with_scores(centering, first, count, FisherKind::exact,
                        [&](const Scores& scores) { optimizer.accumulate(scores); });
        first += count;
      }
      optimizer.step();
    } else {
      net.with_scores(centering, [&](const Scores& scores) { optimizer.step(scores); });
    }
    const Numbers g = net.gradient(centering);
    Numbers direction;
    if (const auto* spring = std::get_if<Spring>(&momentum)) {
      const Numbers left = sum(-spring->decay, multiply(net.F, previous), g);
      direction = sum(spring->decay, previous, solve(net.F, damping, left));
    } else {
      direction = solve(net.F, damping, g);
      if (const auto* ball = std::get_if<HeavyBall>(&momentum)) {
        direction = sum(ball->decay, previous, direction);
      }
    }
    previous = direction;
    const double quadratic = dot(direction, multiply(net.F, direction));
    const double rate = std::sqrt(2 * radius / quadratic);
    theta = sum(rate, direction, theta);
    const StepReport report = optimizer.report();
    EXPECT_EQ(report.outcome, Outcome::accepted);
    EXPECT_EQ(report.form, form);
    bound += 4 * bound_of(net, damping);
    // d^T F d knows d no better than to this share of |F| |d|^2.
    const double share = bound * trace(net.F) * dot(direction, direction) / quadratic;
    EXPECT_TRUE(within(report.quadratic_form, quadratic, 2 * share * quadratic));
    EXPECT_EQ(report.predicted_kl.has_value(), centering == Centering::rows) << "of a Fisher alone";
    EXPECT_TRUE(within(report.predicted_kl.value_or(radius), radius, 1e-9 * radius));
    const double length = rate * std::sqrt(dot(direction, direction) / dot(theta, theta));
    EXPECT_TRUE(
        relative_error_within(net.theta_numbers(), theta,
                              (bound + share) * length + rounding_bound(4, element_type_of<T>, 1)));
  }
}

TEST(centering, steps_are_those_of_rows_centred_before) {
  for_all([]<class T>(T, const CenteredShape& shape, Form form, Centering centering) {
    for (bool in_parts : {false, true}) {
      check_steps<T>(shape, form, centering, NoMomentum{}, in_parts);
      check_steps<T>(shape, form, centering, HeavyBall{0.5}, in_parts);
      if (centering == Centering::rows)
        check_steps<T>(shape, form, centering, Spring{0.5}, in_parts);
    }
  });
}

TEST(centering, without_damping_maximum_likelihood_of_a_centred_matrix_is_no_step) {
  // More parameters than rows: g is outside the range of the centred matrix.
  CentredBatch<double> batch({.samples = 10});
  FisherMatrix fisher(batch.parameters, {.form = Form::dual, .damping = {.absolute = 0}});
  batch.with_scores(Centering::fisher_only,
                    [&](const Scores& scores) { fisher.accumulate(scores); });
  Tensor<double> direction(Numbers(batch.size, 3.0));
  fisher.solve(Coefficients{}, direction.view());
  EXPECT_EQ(fisher.report().outcome, Outcome::not_finite);
  EXPECT_EQ(direction.numbers(), Numbers(batch.size, 3.0));
}

}  // namespace

}  // namespace natgrad::tests
