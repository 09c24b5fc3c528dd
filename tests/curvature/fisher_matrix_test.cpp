#include "natgrad/fisher_matrix.hpp"

#include "support/device.hpp"
#include "support/direction_bound.hpp"
#include "support/layered_batch.hpp"
#include "support/plain.hpp"
#include "support/tolerance.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

// FisherMatrix against the same matrix formed plainly.

namespace natgrad::tests {

namespace {

constexpr std::array forms{Form::primal, Form::dual};

/// 4 x 5 + 5 + 3 x 2 + 3 = 34 parameters.
const std::vector<LayerShape> layers = {{.inputs = 4, .outputs = 5},
                                        {.inputs = 3, .outputs = 2, .bias = false},
                                        {.inputs = 0, .outputs = 3}};

/// A batch with weights and coefficients, its plain S, r and F, and a matrix that has its rows.
template <class T>
struct Trial {
  static constexpr ElementType type = element_type_of<T>;
  LayeredBatch<T> batch;
  Tensor<T> weights;
  Tensor<T> coefficients;
  Table S;
  Numbers r;
  Table F;
  FisherMatrix fisher;

  Trial(std::size_t samples, FisherMatrix::Options options)
      : batch({.layers = layers, .samples = samples, .seed = samples}),
        fisher(batch.parameters, options) {
    Random random(17);
    Numbers w = random.numbers(samples);
    for (double& value : w) value = std::abs(value) / static_cast<double>(samples);
    weights = Tensor<T>(w);
    coefficients = Tensor<T>(random.numbers(samples));
    S = weighted(batch.rows, weights.numbers());
    r = right_hand_side(weights.numbers(), coefficients.numbers());
    F = gram(transposed(S));
    fisher.accumulate(
        batch.scores({.weights = weights.view(), .coefficients = coefficients.view()}));
  }
  Tensor<T> vector() const { return zeros<T>(fisher.size()); }
  double bound(double damping) const { return direction_bound(S, type, damping); }
  /// The smaller of the two bounds on |A| that an error bound knows.
  double norm(Form form) const {
    const Table A = form == Form::dual ? gram(S) : F;
    return std::min(trace(A), infinity_norm(A));
  }
};

template <class Body>
void for_both_types(const Body& body) {
  for (Form form : forms) {
    for (std::size_t samples : {10, 60}) {
      SCOPED_TRACE(testing::Message() << to_string(form) << ", " << samples << " samples");
      body(double{}, form, samples);
      body(float{}, form, samples);
    }
  }
}

TEST(fisher_matrix, solves_for_the_coefficients_of_its_rows) {
  for_both_types([]<class T>(T, Form form, std::size_t samples) {
    Trial<T> t(samples, {.form = form, .damping = {.absolute = 0.05}});
    Tensor<T> direction = t.vector();
    t.fisher.solve(Coefficients{}, direction.view());
    const Numbers expected = damped_direction(t.S, 0.05, t.r);
    EXPECT_TRUE(relative_error_within(direction.numbers(), expected, t.bound(0.05)));

    const SolveReport report = t.fisher.report();
    EXPECT_EQ(report.outcome, Outcome::accepted);
    EXPECT_EQ(report.form, form);
    EXPECT_EQ(report.damping, 0.05);
    EXPECT_TRUE(report.residual <= t.bound(0.05));
    EXPECT_TRUE(within(report.quadratic_form, dot(expected, multiply(t.F, expected)),
                       2 * t.bound(0.05) * trace(t.F) * dot(expected, expected)));
  });
}

TEST(fisher_matrix, solves_for_other_coefficients) {
  for (std::size_t samples : {10, 60}) {
    Trial<double> t(samples, {.form = Form::dual, .damping = {.absolute = 0.05}});
    Random random(23);
    Tensor<double> other(random.numbers(samples));
    Tensor<double> direction = t.vector();
    for (int repetition = 0; repetition < 2; ++repetition) {
      t.fisher.solve(Coefficients{other.view()}, direction.view());
      const Numbers r = right_hand_side(t.weights.numbers(), other.numbers());
      EXPECT_TRUE(relative_error_within(direction.numbers(), damped_direction(t.S, 0.05, r),
                                        t.bound(0.05)));
    }
    t.fisher.solve(Coefficients{}, direction.view());
    EXPECT_TRUE(relative_error_within(direction.numbers(), damped_direction(t.S, 0.05, t.r),
                                      t.bound(0.05)));
  }
}

template <class T>
void check_gradient() {
  Trial<T> t(20, {.form = Form::primal, .damping = {.absolute = 0.2}});
  Random random(29);
  Tensor<T> gradient(random.numbers(t.F.rows));
  Tensor<T> direction = t.vector();
  for (double scale : {1.0, -1.0, 3.0}) {
    t.fisher.solve(Gradient{.view = gradient.view(), .scale = scale}, direction.view());
    const Numbers g = gradient.numbers();
    const Numbers expected = solve(t.F, 0.2, sum(scale - 1, g, g));
    EXPECT_TRUE(relative_error_within(direction.numbers(), expected, t.bound(0.2)));
    EXPECT_EQ(t.fisher.report().outcome, Outcome::accepted);
  }
}

TEST(fisher_matrix, solves_for_any_gradient_in_the_primal_form) {
  check_gradient<double>();
  check_gradient<float>();
}

TEST(fisher_matrix, shows_the_matrix) {
  for_both_types([]<class T>(T, Form form, std::size_t samples) {
    Trial<T> t(samples, {.form = form, .tile_rows = 7});
    const auto n = static_cast<std::int64_t>(samples);
    const auto p = static_cast<std::int64_t>(t.F.rows);
    // Each row's roundings, and the sum over rows; no element exceeds the trace.
    const double bound = sum_bound(n + 4, t.type, trace(t.F));
    Tensor<T> matrix(t.F, 2);
    Tensor<double> wide(t.F);
    t.fisher.to_dense(matrix.view());
    t.fisher.to_dense(wide.view());
    Tensor<T> diagonal = t.vector();
    t.fisher.diagonal(diagonal.view());
    for (std::size_t i = 0; i < t.F.rows; ++i) {
      EXPECT_TRUE(within(diagonal(i), t.F(i, i), bound));
      for (std::size_t j = 0; j < t.F.rows; ++j) {
        EXPECT_TRUE(within(matrix(i, j), t.F(i, j), bound));
        EXPECT_TRUE(
            within(wide(i, j), t.F(i, j), sum_bound(n + 4, ElementType::float64, trace(t.F))));
      }
    }
    EXPECT_TRUE(within(t.fisher.trace(), trace(t.F), sum_bound(n * p, t.type, trace(t.F))));
    Random random(31);
    Tensor<T> v(random.numbers(t.F.rows));
    Tensor<T> product = t.vector();
    t.fisher.apply(v.view(), product.view());
    const Numbers expected = multiply(t.F, v.numbers());
    const double product_bound = sum_bound(2 * (n + p), t.type, trace(t.F) * std::sqrt(p));
    for (std::size_t i = 0; i < t.F.rows; ++i) {
      EXPECT_TRUE(within(product(i), expected[i], product_bound));
    }
    EXPECT_TRUE(within(t.fisher.quadratic_form(v.view()), dot(v.numbers(), expected),
                       product_bound * std::sqrt(p)));
  });
}

TEST(fisher_matrix, factorizes_again_at_a_new_damping) {
  for (Form form : forms) {
    Trial<double> t(20, {.form = form, .damping = {.absolute = 0.05}});
    Tensor<double> direction = t.vector();
    const auto check = [&](const Damping& damping, double lambda) {
      t.fisher.set_damping(damping);
      t.fisher.solve(Coefficients{}, direction.view());
      const SolveReport report = t.fisher.report();
      EXPECT_TRUE(within(report.damping, lambda, rounding_bound(100, t.type, lambda)));
      EXPECT_TRUE(relative_error_within(direction.numbers(), damped_direction(t.S, lambda, t.r),
                                        t.bound(lambda)));
    };
    check({.absolute = 0.05}, 0.05);
    check({.absolute = 2}, 2);
    // Relative to the mean of the min(N, P) = 20 eigenvalues that can be non-zero, in either form.
    check({.absolute = 0.01, .relative = 0.3}, 0.01 + 0.3 * trace(t.F) / 20);
    check({.absolute = 0.05}, 0.05);
  }
}

TEST(fisher_matrix, bounds_the_error_of_a_solve) {
  for_both_types([]<class T>(T, Form form, std::size_t samples) {
    Trial<T> t(samples, {.form = form, .damping = {.absolute = 0.1}});
    Tensor<T> direction = t.vector();
    t.fisher.solve(Coefficients{}, direction.view());
    // The factorization's precision: the primal form is in double whatever the rows are, and d is
    // rounded where it is stored.
    const double rounding = t.type == ElementType::float32 ? epsilon(t.type) / 2 : 0;
    const double unit = form == Form::dual ? epsilon(t.type) : 4 * epsilon(ElementType::float64);
    // Well-conditioned systems amplify less than |A| / lambda, and no bound is below some
    // roundings.
    const double most = unit * std::max(8.0, t.norm(form) / 0.1) + rounding;
    const double bound = t.fisher.report().error_bound;
    EXPECT_LE(bound, most * (1 + rounding_bound(static_cast<double>(samples) + 34, t.type, 1)));
    EXPECT_GE(bound, 8 * unit);
  });
}

TEST(fisher_matrix, needs_no_damping_where_it_has_full_rank) {
  {
    Trial<double> t(60, {.damping = {.absolute = 0}});
    Tensor<double> direction = t.vector();
    t.fisher.solve(Coefficients{}, direction.view());
    EXPECT_EQ(t.fisher.form(), Form::primal);
    EXPECT_EQ(t.fisher.report().outcome, Outcome::accepted);
    EXPECT_LT(t.fisher.report().error_bound, 1e-9);
    const Numbers g = multiply(transposed(t.S), t.r);
    // A solve is backward stable: F d = g up to rounding of |F| |d|.
    const Numbers product = multiply(t.F, direction.numbers());
    const double size = trace(t.F) * std::sqrt(dot(direction.numbers(), direction.numbers()));
    for (std::size_t i = 0; i < g.size(); ++i) {
      EXPECT_TRUE(within(product[i], g[i], solve_bound(100, t.type, size)));
    }
  }
  {
    // Fewer rows than parameters: the shortest d with S d = r.
    Trial<double> t(10, {.form = Form::dual, .damping = {.absolute = 0}});
    Tensor<double> direction = t.vector();
    t.fisher.solve(Coefficients{}, direction.view());
    EXPECT_EQ(t.fisher.report().outcome, Outcome::accepted);
    EXPECT_LT(t.fisher.report().error_bound, 1e-9);
    const Numbers product = multiply(t.S, direction.numbers());
    const double size = std::sqrt(trace(t.F) * dot(direction.numbers(), direction.numbers()));
    for (std::size_t i = 0; i < t.r.size(); ++i) {
      EXPECT_TRUE(within(product[i], t.r[i], solve_bound(100, t.type, size)));
    }
  }
}

TEST(fisher_matrix, a_matrix_that_is_not_positive_definite_leaves_the_direction) {
  // Integers, so that the second pivot of a repeated row is exactly 0.
  Tensor<float> theta(Numbers{0, 0});
  Parameters parameters(test_context());
  parameters.add(theta.view());
  Table repeated(2, 2);
  repeated.elements = {2, 0, 2, 0};
  Tensor<float> rows(repeated);
  Tensor<float> weights(Numbers{1, 1});
  DenseScores scores(parameters);
  scores.begin(rows.view(), {.weights = weights.view()});
  for (Form form : forms) {
    FisherMatrix fisher(parameters, {.form = form, .damping = {.absolute = 0}});
    fisher.accumulate(scores);
    Tensor<float> direction(Numbers{5, -7});
    fisher.solve(Coefficients{}, direction.view());
    EXPECT_EQ(fisher.report().outcome, Outcome::not_positive_definite);
    EXPECT_EQ(direction.numbers(), (Numbers{5, -7}));
    fisher.set_damping({.absolute = 1});
    fisher.solve(Coefficients{}, direction.view());
    EXPECT_EQ(fisher.report().outcome, Outcome::accepted);
    // F = diag(8, 0), g = (4, 0).
    EXPECT_TRUE(within(direction(0), 4.0 / 9, rounding_bound(8, ElementType::float32, 1)));
    EXPECT_EQ(direction(1), 0);
  }
}

TEST(fisher_matrix, what_is_not_finite_leaves_the_direction) {
  constexpr double inf = std::numeric_limits<double>::infinity();
  constexpr double nan = std::numeric_limits<double>::quiet_NaN();
  for (Form form : forms) {
    for (double bad : {nan, inf, 1e200}) {
      SCOPED_TRACE(testing::Message() << to_string(form) << ", " << bad);
      Tensor<double> theta(Numbers{0, 0});
      Parameters parameters(test_context());
      parameters.add(theta.view());
      Table values(2, 2);
      values.elements = {1, bad, 2, 3};
      Tensor<double> rows(values);
      DenseScores scores(parameters);
      scores.begin(rows.view());
      FisherMatrix fisher(parameters, {.form = form});
      fisher.accumulate(scores);
      Tensor<double> direction(Numbers{5, -7});
      fisher.solve(Coefficients{}, direction.view());
      EXPECT_EQ(fisher.report().outcome, Outcome::not_finite);
      EXPECT_EQ(direction.numbers(), (Numbers{5, -7}));
    }
  }
}

/// The direction itself is looked at, not only the system: here d = g / lambda beyond float's
/// range.
TEST(fisher_matrix, a_direction_that_overflows_is_not_finite) {
  Tensor<float> theta(Numbers{0, 0});
  Parameters parameters(test_context());
  parameters.add(theta.view());
  Table values(1, 2);
  values.elements = {1, 0};
  Tensor<float> rows(values);
  DenseScores scores(parameters);
  scores.begin(rows.view());
  FisherMatrix fisher(parameters, {.form = Form::primal, .damping = {.absolute = 1e-20}});
  fisher.accumulate(scores);
  Tensor<float> gradient(Numbers{0, 1e30});
  Tensor<float> direction(Numbers{5, -7});
  fisher.solve(Gradient{.view = gradient.view()}, direction.view());
  EXPECT_EQ(fisher.report().outcome, Outcome::not_finite);
  EXPECT_EQ(direction.numbers(), (Numbers{5, -7}));
}

TEST(fisher_matrix, after_a_reset_is_as_new) {
  for (Form form : forms) {
    Trial<float> t(20, {.form = form});
    Tensor<float> direction = t.vector();
    t.fisher.solve(Coefficients{}, direction.view());
    t.fisher.reset();
    EXPECT_EQ(t.fisher.samples(), 0);
    EXPECT_THROW(t.fisher.solve(Coefficients{}, direction.view()), ArgumentError);
    EXPECT_THROW(t.fisher.report(), ArgumentError);

    const LayeredBatch<float> other({.layers = layers, .samples = 15, .seed = 99});
    FisherMatrix fresh(other.parameters, {.form = form});
    fresh.accumulate(other.scores());
    Tensor<float> expected = t.vector();
    fresh.solve(Coefficients{}, expected.view());
    // The same rows, as scores of the first matrix's parameters.
    LayerScores scores(t.batch.parameters);
    scores.begin({.samples = 15});
    for (const LayerScores::Layer& layer : other.layers) scores.add(layer);
    t.fisher.accumulate(scores);
    EXPECT_EQ(t.fisher.samples(), 15);
    t.fisher.solve(Coefficients{}, direction.view());
    EXPECT_TRUE(same_bits(direction.memory(), expected.memory()));
  }
}

TEST(fisher_matrix, after_a_reset_the_first_set_states_the_size_anew) {
  for (Structure structure : {Structure::full, Structure::block_diagonal, Structure::diagonal}) {
    for (Form form : {Form::automatic, Form::primal, Form::dual}) {
      if (structure == Structure::diagonal && form == Form::dual) continue;
      SCOPED_TRACE(testing::Message() << to_string(structure) << ", " << to_string(form));
      LayeredBatch<double> batch({.layers = layers, .samples = 60});
      LayerScores scores(batch.parameters);
      const FisherMatrix::Options options{.structure = structure, .form = form};
      FisherMatrix used(batch.parameters, options);
      for (std::int64_t samples : {4, 3, 60, 9}) {
        used.reset();
        FisherMatrix fresh(batch.parameters, options);
        batch.fill(scores, {.samples = samples});
        Tensor<double> direction = zeros<double>(used.size());
        Tensor<double> expected = zeros<double>(used.size());
        used.accumulate(scores);
        fresh.accumulate(scores);
        EXPECT_EQ(used.form(), fresh.form()) << samples << " rows";
        used.solve(Coefficients{}, direction.view());
        fresh.solve(Coefficients{}, expected.view());
        EXPECT_TRUE(same_bits(direction.memory(), expected.memory())) << samples << " rows";
        EXPECT_EQ(used.samples(), samples);
        // The batch is as large as this set said.
        if (used.form() == Form::dual) {
          EXPECT_THROW(used.accumulate(scores), ShapeError);
        }
      }
    }
  }
  // What the caller has set stays.
  LayeredBatch<double> batch({.layers = layers, .samples = 9});
  LayerScores scores(batch.parameters);
  FisherMatrix limited(batch.parameters, {.form = Form::dual, .samples = 5});
  for (std::int64_t samples : {4, 5}) {
    limited.reset();
    batch.fill(scores, {.samples = samples});
    limited.accumulate(scores);
  }
  limited.reset();
  batch.fill(scores, {.samples = 9});
  EXPECT_THROW(limited.accumulate(scores), ShapeError);
  EXPECT_EQ(limited.samples(), 0);
}

}  // namespace

}  // namespace natgrad::tests
