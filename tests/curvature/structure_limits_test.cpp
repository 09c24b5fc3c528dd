#include "natgrad/natgrad.hpp"
#include "support/device.hpp"
#include "support/layered_batch.hpp"
#include "support/plain.hpp"
#include "support/structured.hpp"
#include "support/tolerance.hpp"
#include "support/uses.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>

// Where a structure has little or nothing to go by: parameters without rows, rows that are not
// finite or do not vary, and groups that are none.

namespace natgrad::tests {

namespace {

constexpr double same = 1e-12;
constexpr double lambda = 0.3;
constexpr std::int64_t samples = 24;

/// Rows that do not know the last of three segments.
struct Uncovered {
  Tensor<double> w{Table(2, 3)};
  Tensor<double> b{Numbers(2, 0.0)};
  Tensor<double> unused{Numbers(4, 0.0)};
  Tensor<double> input{Random(1).table(samples, 3)};
  Tensor<double> output{Random(2).table(samples, 2)};
  Parameters parameters{test_context()};
  LayerScores scores{parameters};

  Uncovered() {
    const Segment weight = parameters.add(w.view());
    const Segment bias = parameters.add(b.view());
    parameters.add(unused.view());
    scores.begin({.samples = samples});
    scores.add(
        {.weight = weight, .bias = bias, .input = input.view(), .output_score = output.view()});
  }
};

TEST(structure, parameters_that_no_row_knows) {
  Uncovered rows;
  for (Structure structure : {Structure::block_diagonal, Structure::diagonal}) {
    for (Form form : {Form::primal, Form::dual}) {
      if (structure == Structure::diagonal && form == Form::dual) continue;
      SCOPED_TRACE(testing::Message() << to_string(structure) << ", " << to_string(form));
      FisherMatrix fisher(rows.parameters,
                          {.structure = structure, .form = form, .damping = {.absolute = lambda}});
      fisher.accumulate(rows.scores);
      const Numbers d = solved(fisher);
      for (std::size_t i = 8; i < 12; ++i) EXPECT_EQ(d[i], 0);
      const Numbers g = Random(3).numbers(12);
      const Numbers given = solved(fisher, &g);
      for (std::size_t i = 8; i < 12; ++i) {
        EXPECT_TRUE(within(given[i], -2 * g[i] / lambda, same * std::abs(g[i])));
      }
      if (form == Form::dual) continue;
      fisher.set_damping({.absolute = 0});
      Tensor<double> direction(Numbers(12, 5.0));
      fisher.solve(Coefficients{}, direction.view());
      EXPECT_EQ(fisher.report().outcome, Outcome::not_positive_definite);
      EXPECT_EQ(direction.numbers(), Numbers(12, 5.0));
    }
  }
}

TEST(structure, a_row_that_is_not_finite_is_an_outcome) {
  const LayeredBatch<double> batch({.layers = {{.inputs = 3, .outputs = 2}}, .samples = 10});
  Tensor<double> weights(Numbers(10, 0.1));
  weights(5) = std::nan("");
  Tensor<double> coefficients(Random(2).numbers(10));
  const Numbers before(8, 5.0);
  for (Structure structure : {Structure::block_diagonal, Structure::diagonal}) {
    for (Centering centering : {Centering::none, Centering::rows}) {
      FisherMatrix fisher(batch.parameters, {.structure = structure});
      fisher.accumulate(batch.scores({.weights = weights.view(),
                                      .coefficients = coefficients.view(),
                                      .centering = centering}));
      Tensor<double> direction(before);
      fisher.solve(Coefficients{}, direction.view());
      EXPECT_EQ(fisher.report().outcome, Outcome::not_finite);
      EXPECT_EQ(direction.numbers(), before);
    }
  }
}

TEST(structure, rows_that_do_not_vary_are_no_matrix) {
  Tensor<double> theta(Numbers(6, 0.0));
  const Numbers row = Random(1).numbers(6);
  Table table(5, 6);
  for (std::size_t n = 0; n < 5; ++n) {
    for (std::size_t j = 0; j < 6; ++j) table(n, j) = 1e3 * row[j];
  }
  for (std::size_t count : {std::size_t{1}, std::size_t{5}}) {
    Tensor<double> rows(row_range(table, 0, count));
    Tensor<double> coefficients(Random(2).numbers(count));
    Parameters parameters(test_context());
    parameters.add(theta.view());
    DenseScores scores(parameters, {.kind = FisherKind::exact});
    scores.begin(rows.view(), {.coefficients = coefficients.view(), .centering = Centering::rows});
    for (Structure structure : {Structure::block_diagonal, Structure::diagonal}) {
      for (const Damping& damping : {Damping{}, Damping{.absolute = 0, .relative = 0.1}}) {
        FisherMatrix fisher(parameters,
                            {.structure = structure, .form = Form::primal, .damping = damping});
        fisher.accumulate(scores);
        Tensor<double> direction = zeros<double>(6);
        fisher.solve(Coefficients{}, direction.view());
        const bool damped = damping.absolute > 0;
        EXPECT_EQ(fisher.report().outcome,
                  damped ? Outcome::accepted : Outcome::not_positive_definite)
            << to_string(structure) << ", " << count << " rows, damping " << damping.absolute;
      }
    }
  }
}

template <class Call>
void expect_text(const char* text, const Call& call) {
  try {
    call();
    ADD_FAILURE() << "nothing was thrown instead of: " << text;
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find(text), std::string::npos) << error.what();
  }
}

TEST(structure, groups_name_every_segment_once) {
  const UsedRows<double> rows({{.inputs = 2, .outputs = 2}, {.inputs = 2, .outputs = 1}}, 4);
  const auto refuse = [&](const char* text, Structure structure, const ParameterGroups& groups) {
    expect_text(text, [&] {
      const FisherMatrix fisher(rows.parameters, {.structure = structure, .groups = groups});
    });
    expect_text(text, [&] {
      const NaturalGradient optimizer(rows.parameters, {.structure = structure, .groups = groups});
    });
  };
  constexpr Structure blocks = Structure::block_diagonal;
  refuse("stands in group 0 and in group 1", blocks, {{{0}, {1}}, {{1}, {2}, {3}}});
  refuse("stands twice in group 0", blocks, {{{0}, {0}}, {{1}, {2}, {3}}});
  refuse("stands in no group", blocks, {{{0}, {1}}, {{2}}});
  refuse("group 1 is empty", blocks, {{{0}, {1}, {2}, {3}}, {}});
  refuse("names segment 4 of 4", blocks, {{{0}, {1}}, {{2}, {3}, {4}}});
  refuse("names segment -1 of 4", blocks, {{{0}, {1}}, {{2}, {3}, {-1}}});
  refuse("go with .structure = block_diagonal", Structure::full, {{{0}, {1}, {2}, {3}}});
  refuse("go with .structure = block_diagonal", Structure::diagonal, {{{0}, {1}, {2}, {3}}});
  expect_text(".form = Form::dual", [&] {
    const FisherMatrix fisher(rows.parameters,
                              {.structure = Structure::diagonal, .form = Form::dual});
  });
  expect_text(".form = Form::dual", [&] {
    const NaturalGradient optimizer(rows.parameters,
                                    {.structure = Structure::diagonal, .form = Form::dual});
  });
}

}  // namespace

}  // namespace natgrad::tests
