#include "natgrad/natgrad.hpp"
#include "support/device.hpp"
#include "support/layered_batch.hpp"
#include "support/plain.hpp"
#include "support/tolerance.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

// One solve for the gradients in the rows of a matrix.

namespace natgrad::tests {

namespace {

struct Kind {
  Structure structure = Structure::full;
  Form form = Form::primal;
};
constexpr Kind kinds[] = {{Structure::full, Form::primal},
                          {Structure::full, Form::dual},
                          {Structure::block_diagonal, Form::automatic},
                          {Structure::diagonal, Form::primal}};

/// In parameter space several gradients are solved for by products of matrices, whose sums have
/// another order: in double, before they are rounded to the rows' type.
constexpr double same = 1e-12;

Numbers row_of(const Table& A, std::size_t i) { return row_range(A, i, 1).elements; }

/// Equal in float but for a number that lies between two of them.
testing::AssertionResult same_in_float(const Numbers& actual, const Numbers& expected) {
  return relative_error_within(actual, expected, 1e-7);
}

TEST(several_gradients, row_by_row_the_numbers_of_single_solves) {
  const LayeredBatch<float> batch(
      {.layers = {{.inputs = 3, .outputs = 2}, {.inputs = 0, .outputs = 5}}, .samples = 9});
  for (const Kind& kind : kinds) {
    SCOPED_TRACE(testing::Message() << to_string(kind.structure) << ", " << to_string(kind.form));
    FisherMatrix fisher(batch.parameters, {.structure = kind.structure,
                                           .form = kind.form,
                                           .damping = {.absolute = 0.1, .relative = 0.1}});
    fisher.accumulate(batch.scores());
    const Table gradients = Random(3).table(4, 13);
    Numbers expected;
    SolveReport report;
    for (std::size_t i = 0; i < 4; ++i) {
      Tensor<float> g(row_of(gradients, i));
      Tensor<float> d = zeros<float>(13);
      fisher.solve(Gradient{.view = g.view(), .scale = 3}, d.view());
      const Numbers one = d.numbers();
      expected.insert(expected.end(), one.begin(), one.end());
      const SolveReport of_one = fisher.report();
      report.residual = std::max(report.residual, of_one.residual);
      report.error_bound = std::max(report.error_bound, of_one.error_bound);
      report.quadratic_form += of_one.quadratic_form;
    }
    Tensor<float> several(gradients, 3);
    Tensor<float> directions(Table(4, 13), 1);
    fisher.solve(Gradient{.view = several.view(), .scale = 3}, directions.view());
    EXPECT_TRUE(same_in_float(directions.numbers(), expected));
    EXPECT_EQ(fisher.report().outcome, Outcome::accepted);
    EXPECT_TRUE(within(fisher.report().residual, report.residual, 1e-14));
    EXPECT_TRUE(within(fisher.report().error_bound, report.error_bound, same));
    EXPECT_TRUE(within(fisher.report().quadratic_form, report.quadratic_form,
                       same * report.quadratic_form));
    // In place, and one row alone.
    fisher.solve(Gradient{.view = several.view(), .scale = 3}, several.view());
    EXPECT_EQ(several.numbers(), directions.numbers());
    Tensor<float> first(row_range(gradients, 0, 1));
    fisher.solve(Gradient{.view = first.view(), .scale = 3}, first.view());
    EXPECT_TRUE(same_in_float(first.numbers(), Numbers(expected.begin(), expected.begin() + 13)));
  }
}

/// More parameters than a block of F, more gradients than are taken together, and damping in units.
TEST(several_gradients, some_at_a_time_in_parameter_space) {
  const LayeredBatch<double> batch({.layers = {{.inputs = 36, .outputs = 8}}, .samples = 30});
  constexpr std::size_t P = 296;
  for (const EnumeratorName<DampingScaling>& scaling : damping_scaling_table) {
    SCOPED_TRACE(scaling.name);
    FisherMatrix fisher(batch.parameters, {.form = Form::primal,
                                           .damping = {.absolute = 0.2, .scaling = scaling.value},
                                           .tile_rows = 3});
    fisher.accumulate(batch.scores());
    const Table gradients = Random(4).table(8, P);
    Tensor<double> several(gradients);
    Tensor<double> directions(Table(8, P), 5);
    fisher.solve(Gradient{.view = several.view(), .scale = -2}, directions.view());
    EXPECT_EQ(fisher.report().outcome, Outcome::accepted);
    EXPECT_LT(fisher.report().residual, 1e-13);
    for (std::size_t i = 0; i < gradients.rows; ++i) {
      Tensor<double> g(row_of(gradients, i));
      Tensor<double> d = zeros<double>(P);
      fisher.solve(Gradient{.view = g.view(), .scale = -2}, d.view());
      EXPECT_TRUE(relative_error_within(row_of(directions.table(), i), d.numbers(), same)) << i;
    }
  }
}

TEST(several_gradients, of_one_parameter) {
  Tensor<double> theta(Numbers(1, 0.0));
  Tensor<double> rows(Numbers{1, 2});
  Tensor<double> weights(Numbers{1, 1});
  Parameters parameters(test_context());
  parameters.add(theta.view());
  DenseScores scores(parameters);
  scores.begin(rows.view(), {.weights = weights.view()});
  FisherMatrix fisher(parameters, {.form = Form::primal, .damping = {.absolute = 3}});
  fisher.accumulate(scores);
  Tensor<double> g(Numbers{8, 16, -8});
  fisher.solve(Gradient{g.view()}, g.view());
  const Numbers d = g.numbers();
  EXPECT_DOUBLE_EQ(d[0], 1);
  EXPECT_DOUBLE_EQ(d[1], 2);
  EXPECT_DOUBLE_EQ(d[2], -1);
}

TEST(several_gradients, one_that_is_not_finite_leaves_the_others) {
  const LayeredBatch<double> batch({.layers = {{.inputs = 3, .outputs = 2}}, .samples = 9});
  for (const Kind& kind : kinds) {
    SCOPED_TRACE(testing::Message() << to_string(kind.structure) << ", " << to_string(kind.form));
    FisherMatrix fisher(batch.parameters, {.structure = kind.structure, .form = kind.form});
    fisher.accumulate(batch.scores());
    Table gradients = Random(3).table(3, 8);
    Tensor<double> last(row_of(gradients, 2));
    Tensor<double> expected = zeros<double>(8);
    fisher.solve(Gradient{last.view()}, expected.view());
    gradients(1, 4) = std::numeric_limits<double>::infinity();
    Tensor<double> several(gradients);
    Table fives(3, 8);
    std::fill(fives.elements.begin(), fives.elements.end(), 5.0);
    Tensor<double> directions(fives);
    fisher.solve(Gradient{several.view()}, directions.view());
    EXPECT_EQ(fisher.report().outcome, Outcome::not_finite);
    EXPECT_EQ(row_of(directions.table(), 1), Numbers(8, 5.0));
    EXPECT_TRUE(relative_error_within(row_of(directions.table(), 2), expected.numbers(), same));
  }
}

}  // namespace

}  // namespace natgrad::tests
