#include "natgrad/natgrad.hpp"
#include "support/direction_bound.hpp"
#include "support/layered_batch.hpp"
#include "support/plain.hpp"
#include "support/tolerance.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <variant>
#include <vector>

// Gradients that are not S^T r of the rows of the Fisher matrix, against dense formulas in double.

namespace natgrad::tests {

namespace {

constexpr std::array forms{Form::primal, Form::dual};

/// 4 x 3 + 3 + 3 x 2 + 2 = 23 parameters.
const std::vector<LayerShape> layers = {{.inputs = 4, .outputs = 3},
                                        {.inputs = 3, .outputs = 2, .bias = false},
                                        {.inputs = 0, .outputs = 2}};

/// Where g comes from.
enum class Source { own, rows, numbers };
constexpr std::array sources{Source::own, Source::rows, Source::numbers};
constexpr double numbers_scale = -3;

/// Rows of the matrix, other rows, and P numbers; plainly their S and g.
template <class T>
struct Trial {
  LayeredBatch<T> batch;
  LayeredBatch<T> data;
  Tensor<T> numbers;
  Tensor<T> coefficients;
  LayerScores fisher;
  LayerScores other;
  Table S;
  Numbers own;  // r

  explicit Trial(std::size_t samples)
      : batch({.layers = layers, .samples = samples, .seed = samples}),
        data({.layers = layers, .samples = 9, .seed = 77}),
        fisher(batch.parameters),
        other(batch.parameters) {
    Random random(3);
    numbers = Tensor<T>(random.numbers(size()));
    coefficients = Tensor<T>(random.numbers(9));
    batch.fill(fisher);
    other.begin({.samples = 9, .coefficients = coefficients.view()});
    for (const LayerScores::Layer& layer : data.layers) other.add(layer);
    S = weighted(batch.rows, batch.uniform_weights());
    own = right_hand_side(batch.uniform_weights(), Numbers(samples, 1.0));
  }
  std::size_t size() const { return batch.rows.columns; }
  Batch batch_of(Source source) {
    Batch all{.fisher = fisher};
    if (source == Source::rows) all.gradient = other;
    if (source == Source::numbers) all.gradient = Gradient{numbers.view(), numbers_scale};
    return all;
  }
  Numbers gradient(Source source) const {
    if (source == Source::own) return multiply(transposed(S), own);
    if (source == Source::numbers)
      return sum(numbers_scale - 1, numbers.numbers(), numbers.numbers());
    const Numbers w = data.uniform_weights();
    return multiply(transposed(weighted(data.rows, w)), right_hand_side(w, coefficients.numbers()));
  }
};

/// Calls body(T, samples, form, source).
template <class Body>
void for_all(const Body& body) {
  for (std::size_t samples : {12, 40}) {
    for (Form form : forms) {
      for (Source source : sources) {
        SCOPED_TRACE(testing::Message() << to_string(form) << ", source "
                                        << static_cast<int>(source) << ", " << samples);
        body(double{}, samples, form, source);
        body(float{}, samples, form, source);
      }
    }
  }
}

/// Of a direction, whose difference g - S^T t cancels in the dual form: the formula of the
/// library's estimate, with the roundings of a system of this size for its epsilon.
double bound_of(const Table& S, ElementType type, double shift, const Numbers& g,
                const Numbers& d) {
  const double amplified = 1 + std::sqrt(dot(g, g) / dot(d, d)) / shift;
  return direction_bound(S, type, shift) * amplified;
}

TEST(gradients, directions_are_those_of_a_dense_solve) {
  for_all([]<class T>(T, std::size_t samples, Form form, Source source) {
    for (double penalty : {0.0, 0.3}) {
      for (int refinement : {0, 2}) {
        Trial<T> t(samples);
        const double damping = 0.05 * trace(gram(t.S));
        const double shift = damping + penalty;
        NaturalGradient optimizer(t.batch.parameters, {.damping = {.absolute = damping},
                                                       .l2 = penalty,
                                                       .form = form,
                                                       .refinement = refinement});
        Tensor<T> direction = zeros<T>(static_cast<std::int64_t>(t.size()));
        optimizer.direction(t.batch_of(source), direction.view());
        const SolveReport report = optimizer.direction_report();
        EXPECT_EQ(report.outcome, Outcome::accepted);
        EXPECT_EQ(report.form, form);
        const Numbers g = sum(-penalty, t.batch.theta_numbers(), t.gradient(source));
        const Table F = gram(transposed(t.S));
        const Numbers expected = solve(F, shift, g);
        const double bound = bound_of(t.S, element_type_of<T>, shift, g, expected);
        const double error = relative_error(direction.numbers(), expected);
        EXPECT_TRUE(error <= bound) << error;
        EXPECT_TRUE(within(report.quadratic_form, dot(expected, multiply(F, expected)),
                           2 * bound * trace(F) * dot(expected, expected)));
        // In double the reference errs as much as what is tested.
        if (element_type_of<T> == ElementType::float32) {
          EXPECT_TRUE(error <= 2 * report.error_bound) << error << ", " << report.error_bound;
        }
      }
    }
  });
}

TEST(gradients, a_matrix_solves_for_p_numbers_in_both_forms) {
  for_all([]<class T>(T, std::size_t samples, Form form, Source source) {
    if (source != Source::numbers) return;
    for (int refinement : {0, 1}) {
      Trial<T> t(samples);
      const double damping = 0.01 * trace(gram(t.S));
      FisherMatrix fisher(
          t.batch.parameters,
          {.form = form, .damping = {.absolute = damping}, .refinement = refinement});
      fisher.accumulate(t.fisher);
      const Numbers g = t.gradient(source);
      const Numbers expected = solve(gram(transposed(t.S)), damping, g);
      Tensor<T> direction = zeros<T>(fisher.size());
      // A solve for coefficients before and after leaves nothing behind.
      fisher.solve(Coefficients{}, direction.view());
      const double plain_bound = fisher.report().error_bound;
      fisher.solve(Gradient{t.numbers.view(), numbers_scale}, direction.view());
      const double error = relative_error(direction.numbers(), expected);
      const SolveReport report = fisher.report();
      EXPECT_TRUE(error <= bound_of(t.S, element_type_of<T>, damping, g, expected));
      if (element_type_of<T> == ElementType::float32) {
        EXPECT_TRUE(error <= 2 * report.error_bound);
      }
      if (form == Form::dual && refinement == 0) {
        // lambda is 0.01 of the trace.
        const double amplified = std::sqrt(dot(g, g) / dot(expected, expected)) / damping;
        const double epsilon = static_cast<double>(std::numeric_limits<T>::epsilon());
        EXPECT_LE(report.error_bound, 1.01 * 100 * epsilon * amplified);
        EXPECT_LE(plain_bound, 1.01 * 100 * epsilon);
      }
      fisher.solve(Coefficients{}, direction.view());
      EXPECT_EQ(fisher.report().error_bound, plain_bound);
      EXPECT_TRUE(relative_error_within(direction.numbers(), damped_direction(t.S, damping, t.own),
                                        direction_bound(t.S, element_type_of<T>, damping)));
    }
  });
}

/// (F + shift I) (d - mu m) = g - eta theta - mu F m, and v = mu v + d.
template <class T>
void check_steps(std::size_t samples, Form form, Source source, const Momentum& momentum,
                 bool in_parts) {
  SCOPED_TRACE(testing::Message() << "momentum " << momentum.index() << ", parts " << in_parts);
  Trial<T> t(samples);
  constexpr double penalty = 0.2;
  constexpr double rate = 0.1;
  const double damping = 0.1 * trace(gram(t.S));
  const Table F = gram(transposed(t.S));
  NaturalGradient optimizer(t.batch.parameters, {.damping = {.absolute = damping},
                                                 .step = FixedRate{rate},
                                                 .momentum = momentum,
                                                 .l2 = penalty,
                                                 .form = form});
  Numbers theta = t.batch.theta_numbers();
  Numbers previous(t.size(), 0.0);
  double bound = 0;
  for (int step = 0; step < 3; ++step) {
    if (in_parts) {
      LayerScores part(t.batch.parameters);
      const auto n = static_cast<std::int64_t>(samples);
      for (const auto& [first, count] : {std::pair<std::int64_t, std::int64_t>{0, 5}, {5, n - 5}}) {
        t.batch.fill(part, {.samples = count, .batch_samples = n}, first);
        Batch batch{.fisher = part};
        // What parts add up to is the gradient: all of it comes with the first.
        Gradient numbers{t.numbers.view(), first == 0 ? numbers_scale : 0};
        if (source == Source::numbers) batch.gradient = numbers;
        optimizer.accumulate(batch);
      }
      optimizer.step();
    } else {
      optimizer.step(t.batch_of(source));
    }
    Numbers g = sum(-penalty, theta, t.gradient(source));
    const auto* spring = std::get_if<Spring>(&momentum);
    const double decay = spring ? spring->decay : 0;
    g = sum(-decay, multiply(F, previous), g);
    Numbers d = sum(decay, previous, solve(F, damping + penalty, g));
    bound += bound_of(t.S, element_type_of<T>, damping + penalty, g, d);
    if (const auto* ball = std::get_if<HeavyBall>(&momentum)) d = sum(ball->decay, previous, d);
    previous = d;
    theta = sum(rate, d, theta);
    EXPECT_EQ(optimizer.report().outcome, Outcome::accepted);
    EXPECT_EQ(optimizer.report().form, form);
    EXPECT_TRUE(relative_error_within(t.batch.theta_numbers(), theta, 2 * bound));
    EXPECT_TRUE(within(optimizer.report().quadratic_form, dot(d, multiply(F, d)),
                       4 * bound * trace(F) * dot(d, d)));
  }
}

TEST(gradients, steps_with_a_penalty_follow_the_formulas) {
  for_all([]<class T>(T, std::size_t samples, Form form, Source source) {
    const std::array<Momentum, 3> momenta{NoMomentum{}, HeavyBall{0.7}, Spring{0.8}};
    for (const Momentum& momentum : momenta) {
      check_steps<T>(samples, form, source, momentum, false);
      if (source != Source::rows) check_steps<T>(samples, form, source, momentum, true);
    }
  });
}

TEST(gradients, need_no_damping_where_the_matrix_has_full_rank) {
  for (Source source : sources) {
    Trial<double> t(60);
    Tensor<double> direction = zeros<double>(static_cast<std::int64_t>(t.size()));
    NaturalGradient optimizer(t.batch.parameters, {.damping = {.absolute = 0}});
    optimizer.direction(t.batch_of(source), direction.view());
    const SolveReport report = optimizer.direction_report();
    EXPECT_EQ(report.outcome, Outcome::accepted);
    EXPECT_EQ(report.form, Form::primal);
    EXPECT_LT(report.error_bound, 1e-9);
    // Backward stable: F d = g up to rounding of |F| |d|.
    const Table F = gram(transposed(t.S));
    const Numbers product = multiply(F, direction.numbers());
    const Numbers g = t.gradient(source);
    const double size = trace(F) * std::sqrt(dot(direction.numbers(), direction.numbers()));
    for (std::size_t i = 0; i < g.size(); ++i) {
      EXPECT_TRUE(within(product[i], g[i], solve_bound(100, ElementType::float64, size)));
    }
  }
}

TEST(gradients, a_gradient_of_zero_is_a_step_of_zero) {
  for (Form form : forms) {
    for (int refinement : {0, 1}) {
      Trial<float> t(12);
      Tensor<float> zero = zeros<float>(static_cast<std::int64_t>(t.size()));
      Tensor<float> direction(Numbers(t.size(), 5.0));
      FisherMatrix fisher(t.batch.parameters, {.form = form, .refinement = refinement});
      fisher.accumulate(t.fisher);
      fisher.solve(Gradient{zero.view()}, direction.view());
      EXPECT_EQ(fisher.report().outcome, Outcome::accepted);
      EXPECT_EQ(direction.numbers(), Numbers(t.size(), 0.0));
      EXPECT_TRUE(std::isfinite(fisher.report().error_bound));
      EXPECT_EQ(fisher.report().quadratic_form, 0);
    }
  }
}

}  // namespace

}  // namespace natgrad::tests
