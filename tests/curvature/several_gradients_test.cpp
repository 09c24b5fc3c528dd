#include "natgrad/natgrad.hpp"
#include "support/device.hpp"
#include "support/layered_batch.hpp"
#include "support/plain.hpp"

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

Numbers row_of(const Table& A, std::size_t i) { return row_range(A, i, 1).elements; }

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
    EXPECT_EQ(directions.numbers(), expected);
    EXPECT_EQ(fisher.report().outcome, Outcome::accepted);
    EXPECT_EQ(fisher.report().residual, report.residual);
    EXPECT_EQ(fisher.report().error_bound, report.error_bound);
    EXPECT_DOUBLE_EQ(fisher.report().quadratic_form, report.quadratic_form);
    // In place, and one row alone.
    fisher.solve(Gradient{.view = several.view(), .scale = 3}, several.view());
    EXPECT_EQ(several.numbers(), expected);
    Tensor<float> first(row_range(gradients, 0, 1));
    fisher.solve(Gradient{.view = first.view(), .scale = 3}, first.view());
    EXPECT_EQ(first.numbers(), Numbers(expected.begin(), expected.begin() + 13));
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
    EXPECT_EQ(row_of(directions.table(), 2), expected.numbers());
  }
}

}  // namespace

}  // namespace natgrad::tests
