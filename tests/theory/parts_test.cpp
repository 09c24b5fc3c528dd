#include "natgrad/natgrad.hpp"
#include "support/likelihood_net.hpp"
#include "support/plain.hpp"
#include "support/tolerance.hpp"

#include <gtest/gtest.h>

#include <cstddef>
#include <string>
#include <vector>

// Row 3 of the table in docs/architecture.md for every likelihood, of the rows of data and of exact
// rows.

namespace natgrad::tests {

namespace {

constexpr std::size_t samples = 9;

/// Samples of one set: their numbers among those of the model, and how they count.
struct Part {
  std::vector<std::size_t> samples;
  RowSet set = {};
};

struct Sums {
  Table F;
  Numbers g;  // S^T r
};

/// Of the rows of all parts together.
Sums sums_of(LikelihoodNet& model, FisherKind kind, const Table& y,
             const std::vector<Part>& parts) {
  FullyConnected& net = model.net;
  FisherMatrix fisher(net.parameters(), {.form = Form::primal});
  Numbers g(model.size(), 0.0);
  const Table x = model.inputs.table();
  const auto rows_of = [](const Table& all, const std::vector<std::size_t>& rows) {
    Table picked(rows.size(), all.columns);
    for (std::size_t i = 0; i < rows.size(); ++i) {
      for (std::size_t j = 0; j < all.columns; ++j) picked(i, j) = all(rows[i], j);
    }
    return picked;
  };
  for (const Part& part : parts) {
    Tensor<double> inputs(rows_of(x, part.samples));
    Targets targets(net.options().likelihood, rows_of(y, part.samples));
    RowSet set = part.set;
    set.samples = inputs.view().rows();
    net.forward(inputs.view());
    LayerScores scores(net.parameters(), {.kind = kind});
    if (kind == FisherKind::exact) {
      net.compute_exact(targets.view());
      net.add_exact_to(scores, set);
    } else {
      net.backward(targets.view());
      net.add_to(scores, set);
    }
    fisher.accumulate(scores);
    g = sum(1, gradient_of(scores), g);
  }
  Tensor<double> matrix(Table(model.size(), model.size()));
  fisher.to_dense(matrix.view());
  return {matrix.table(), g};
}

void expect_same(const Sums& actual, const Sums& expected) {
  EXPECT_TRUE(relative_error_within(actual.F.elements, expected.F.elements, 1e-12));
  EXPECT_TRUE(relative_error_within(actual.g, expected.g, 1e-12));
}

/// Parts that state their whole are together the whole; a weight of k counts a sample k times, and
/// one weight of all is as many equal ones.
TEST(theory, row_3_parts_make_the_whole_and_weights_repeat_samples) {
  const std::vector<std::size_t> all{0, 1, 2, 3, 4, 5, 6, 7, 8};
  for (const EnumeratorName<Likelihood>& row : likelihood_names) {
    LikelihoodNet model(
        {.sizes = {2, 4, 2}, .likelihood = row.value, .sigma = 0.7, .type = ElementType::float64},
        samples);
    model.net.sample();
    const Table y = model.sampled();
    for (const FisherKind kind : {FisherKind::exact, FisherKind::empirical}) {
      SCOPED_TRACE(std::string(row.name) + ", " + to_string(kind));
      const auto of = [&](const std::vector<Part>& parts) {
        return sums_of(model, kind, y, parts);
      };
      const RowSet part{.batch_samples = samples};
      expect_same(of({{{0, 1, 2, 3}, part}, {{4}, part}, {{5, 6, 7, 8}, part}}), of({{all}}));

      Tensor<double> counts(Numbers{2, 0, 1, 3, 1, 1, 0, 2, 1});
      expect_same(of({{all, {.weights = counts.view()}}}),
                  of({{{0, 0, 2, 3, 3, 3, 4, 5, 7, 7, 8}, {.weight = 1}}}));
      Tensor<double> ones(Numbers(samples, 1.0));
      expect_same(of({{all, {.weight = 1}}}), of({{all, {.weights = ones.view()}}}));
    }
  }
}

}  // namespace

}  // namespace natgrad::tests
