#include "natgrad/natgrad.hpp"
#include "support/device.hpp"
#include "support/layered_batch.hpp"
#include "support/plain.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

// What Scores::check says of a gradient and rows of which either side may be off: it names both,
// and the check that can tell.

namespace natgrad::tests {

namespace {

constexpr double inf = std::numeric_limits<double>::infinity();
constexpr double nan = std::numeric_limits<double>::quiet_NaN();

/// Logistic regression of six points: rows times a factor, and the gradient of the mean of log p
/// times another.
struct Logistic {
  static constexpr std::size_t samples = 6;
  Tensor<double> x{Numbers{-2, -1, 0, 1, 2, 3}};
  Numbers y{0, 1, 0, 1, 0, 1};
  Tensor<double> w{Numbers{0.1}};
  Tensor<double> b{Numbers{-0.2}};
  Tensor<double> score{Numbers(samples, 0.0)};
  Tensor<double> gradient{Numbers{0, 0}};
  Parameters parameters{test_context()};
  Segment weight = parameters.add(w.view(), "w");
  Segment bias = parameters.add(b.view(), "b");

  ScoresCheck check(double of_rows, double of_gradient, RowSet set = {}) {
    Numbers g{0, 0};
    for (std::size_t n = 0; n < samples; ++n) {
      const double s = y[n] - 1 / (1 + std::exp(-w(0) * x(n) - b(0)));
      score(n) = of_rows * s;
      g[0] += s * x(n) * of_gradient / samples;
      g[1] += s * of_gradient / samples;
    }
    gradient = Tensor<double>(g);
    return compare(set);
  }
  ScoresCheck compare(RowSet set = {}) {
    LayerScores scores(parameters);
    set.samples = samples;
    scores.begin(set);
    scores.add({.weight = weight, .bias = bias, .input = x.view(), .output_score = score.view()});
    return scores.check(gradient.view());
  }
};

struct Case {
  const char* what;
  double of_rows;
  double of_gradient;
  std::vector<const char*> texts;
};

TEST(check, names_both_sides_that_may_be_off) {
  constexpr double n = Logistic::samples;
  const std::vector<Case> cases = {
      {"both right", 1, 1, {"the gradients agree: ", "if yours is the gradient of a loss"}},
      {"both of the loss", -1, -1, {"the gradients agree: ", "the rows have the wrong sign"}},
      {"rows right, a mean loss",
       1,
       -1,
       {": -1, which is right where yours is the gradient of a loss"}},
      {"rows of the loss", -1, 1, {"where yours points uphill, the rows are those of a loss"}},
      {"rows right, a sum loss",
       1,
       -n,
       {": -1/N: either yours is the gradient of a loss summed over the batch, and the rows are "
        "right, or"}},
      {"rows of a mean loss", -1 / n, 1, {"the output scores are those of a mean loss"}},
      {"rows right, a sum", 1, n, {": 1/N: either yours is the gradient of a sum", "right, or"}},
      {"rows of a mean", 1 / n, 1, {"the output scores hold the 1/N of a mean"}},
      {"a mean of a mean",
       1,
       1 / n,
       {": N: either yours was divided by N once more", "or the rows"}},
      {"rows times -N", -n, 1, {": -N: either"}},
      {"a square", 2, 1, {"a square and its half"}},
      {"a factor of nothing known", 1, 3, {"0.333333 times the gradient"}},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.what);
    const ScoresCheck check = Logistic().check(c.of_rows, c.of_gradient);
    for (const char* text : c.texts) {
      EXPECT_NE(check.text.find(text), std::string::npos) << check.text;
    }
    EXPECT_NE(check.text.find("check_scores"), std::string::npos) << check.text;
  }
}

TEST(check, knows_a_part_from_its_batch) {
  // Of a mean over the six rows that are a part of 24.
  const ScoresCheck check = Logistic().check(1, 1, {.batch_samples = 24});
  EXPECT_NEAR(check.factor, 0.25, 1e-12);
  EXPECT_NE(check.text.find("a mean over this set alone"), std::string::npos) << check.text;
}

TEST(check, names_the_operand_that_is_not_finite) {
  const auto text_of = [](const auto& spoil) {
    Logistic model;
    model.check(1, 1);
    Tensor<double> column(Numbers(Logistic::samples, 0.5));
    RowSet set;
    spoil(model, column, set);
    const ScoresCheck check = model.compare(set);
    EXPECT_TRUE(std::isnan(check.distance) || std::isnan(check.factor)) << check.text;
    return check.text;
  };
  using Column = Tensor<double>;
  EXPECT_EQ(text_of([](Logistic& m, Column&, RowSet&) { m.gradient(1) = nan; }),
            "nothing to compare: the gradient is nan at number 1 (of b)");
  EXPECT_EQ(text_of([](Logistic&, Column& c, RowSet& set) {
              c(4) = -2;
              set.weights = c.view();
            }),
            "nothing to compare: .weights is -2 at row 4: negative, must be >= 0");
  EXPECT_EQ(text_of([](Logistic&, Column& c, RowSet& set) {
              c(2) = inf;
              set.weights = c.view();
            }),
            "nothing to compare: .weights is inf at row 2");
  EXPECT_EQ(text_of([](Logistic&, Column& c, RowSet& set) {
              c(5) = nan;
              set.coefficients = c.view();
            }),
            "nothing to compare: .coefficients is nan at row 5");
  EXPECT_EQ(text_of([](Logistic& m, Column&, RowSet&) { m.x(3) = nan; }),
            "nothing to compare: w: .input is nan at row 3 (term 0, column 0)");
  EXPECT_EQ(text_of([](Logistic& m, Column&, RowSet&) { m.score(1) = -inf; }),
            "nothing to compare: w: .output_score is -inf at row 1 (term 0, column 0)");
  EXPECT_EQ(text_of([](Logistic& m, Column&, RowSet&) {
              m.gradient = Column(Numbers{0, 0});
            }),
            "nothing to compare: the gradient is zero");
  EXPECT_EQ(text_of([](Logistic& m, Column&, RowSet&) { m.score = Column(Numbers(6, 0.0)); }),
            "nothing to compare: S^T r is zero");
}

TEST(check, names_the_column_of_dense_rows_and_the_row_of_a_term) {
  Tensor<float> theta(Numbers(5, 0.0));
  Parameters parameters(test_context());
  parameters.add(theta.view().row_range(0, 2), "a");
  const Segment bias = parameters.add(theta.view().row_range(2, 3), "b");
  Tensor<float> ones(Numbers(5, 1.0));
  Tensor<float> rows(Random(1).table(4, 5), 3);
  rows(2, 3) = static_cast<float>(nan);
  DenseScores dense(parameters);
  dense.begin(rows.view());
  const std::string text = dense.check(ones.view()).text;
  EXPECT_NE(text.find("the dense rows: row 2 is nan at column 3 (of b)"), std::string::npos)
      << text;

  Tensor<float> score(Random(2).table(8, 3));
  score(5, 2) = static_cast<float>(inf);
  LayerScores layers(parameters);
  layers.begin({.samples = 4});
  layers.add({.bias = bias, .output_score = score.view(), .terms = 2});
  const std::string term = layers.check(ones.view()).text;
  EXPECT_NE(term.find("b: .output_score is inf at row 2 (term 1, column 2)"), std::string::npos)
      << term;
}

TEST(check, rows_that_mean_nothing_without_coefficients_have_no_gradient) {
  Tensor<double> theta(Numbers(3, 0.0));
  Tensor<double> rows(Random(1).table(4, 3));
  Tensor<double> ones(Numbers(4, 1.0));
  Tensor<double> g(Numbers(3, 0.0));
  Parameters parameters(test_context());
  parameters.add(theta.view());
  DenseScores empirical(parameters);
  empirical.begin(rows.view());
  empirical.gradient(g.view());
  const Numbers expected = g.numbers();
  for (FisherKind kind : {FisherKind::sampled, FisherKind::exact, FisherKind::residual}) {
    SCOPED_TRACE(to_string(kind));
    DenseScores scores(parameters, {.kind = kind});
    scores.begin(rows.view());
    EXPECT_THROW(scores.gradient(g.view()), ArgumentError);
    EXPECT_THROW(scores.check(g.view()), ArgumentError);
    scores.begin(rows.view(), {.coefficients = ones.view()});
    scores.gradient(g.view());
    EXPECT_EQ(g.numbers(), expected);
  }
}

}  // namespace

}  // namespace natgrad::tests
