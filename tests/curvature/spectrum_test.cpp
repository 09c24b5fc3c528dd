#include "natgrad/natgrad.hpp"
#include "support/device.hpp"
#include "support/layered_batch.hpp"
#include "support/plain.hpp"
#include "support/plain_spectrum.hpp"
#include "support/structured.hpp"
#include "support/tolerance.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

// Eigenvalues, rank, condition, log determinant, inverse diagonal and least-norm solutions against
// those of rows in long double.

namespace natgrad::tests {

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr double well_conditioned = 1e-10;  // relative

/// Two layers that do not share their parameters, 3 x 2 + 2 + 5 = 13 parameters, in three segments.
const std::vector<LayerShape> layers = {{.inputs = 3, .outputs = 2}, {.inputs = 0, .outputs = 5}};

struct Kind {
  Structure structure = Structure::full;
  Form form = Form::primal;
};
constexpr Kind kinds[] = {{Structure::full, Form::primal},
                          {Structure::full, Form::dual},
                          {Structure::block_diagonal, Form::primal},
                          {Structure::block_diagonal, Form::dual},
                          {Structure::diagonal, Form::primal}};

/// Columns [first, first + count) of a table, zeros elsewhere.
Table columns_of(const Table& S, std::size_t first, std::size_t count) {
  Table part(S.rows, count);
  for (std::size_t n = 0; n < S.rows; ++n) {
    for (std::size_t j = 0; j < count; ++j) part(n, j) = S(n, first + j);
  }
  return part;
}

/// The blocks of a structure as tables of their columns.
std::vector<Table> blocks_of(const Table& S, Structure structure) {
  std::vector<Table> blocks;
  if (structure == Structure::full) blocks = {S};
  if (structure == Structure::block_diagonal) blocks = {columns_of(S, 0, 8), columns_of(S, 8, 5)};
  if (structure == Structure::diagonal) {
    for (std::size_t j = 0; j < S.columns; ++j) blocks.push_back(columns_of(S, j, 1));
  }
  return blocks;
}

/// Layered rows with weights, and what is expected of their matrix block by block.
template <class T>
struct Trial {
  Kind kind;
  LayeredBatch<T> batch;
  Tensor<T> weights;
  FisherMatrix fisher;
  std::vector<PlainSpectrum> blocks;
  std::size_t possible = 0;  // eigenvalues

  Trial(const Kind& which, std::size_t samples, double damping)
      : kind(which),
        batch({.layers = layers, .samples = samples, .seed = samples}),
        weights([&] {
          Numbers w = Random(17).numbers(samples);
          for (double& value : w) value = (1.5 + value) / static_cast<double>(samples);
          return Tensor<T>(w);
        }()),
        fisher(batch.parameters, {.structure = kind.structure,
                                  .form = kind.form,
                                  .damping = {.absolute = damping},
                                  .tile_rows = 5}) {
    fisher.accumulate(batch.scores({.weights = weights.view()}));
    for (const Table& S : blocks_of(weighted(batch.rows, weights.numbers()), kind.structure)) {
      blocks.emplace_back(S);
      possible += std::min(S.rows, S.columns);
    }
  }

  /// All P, ascending.
  Numbers values() const {
    Numbers all;
    for (const PlainSpectrum& block : blocks) {
      const Numbers values = block.values();
      all.insert(all.end(), values.begin(), values.end());
    }
    std::sort(all.begin(), all.end());
    return all;
  }
  Numbers inverse_diagonal(double damping) const {
    Numbers all;
    for (const PlainSpectrum& block : blocks) {
      const Numbers part = block.diagonal([=](long double mu) { return 1 / (mu + damping); });
      all.insert(all.end(), part.begin(), part.end());
    }
    return all;
  }
  Numbers pseudo_inverse(double tolerance, const Numbers& g) const {
    const double cutoff = tolerance * values().back();
    Numbers all;
    for (const PlainSpectrum& block : blocks) {
      const auto first = g.begin() + static_cast<std::ptrdiff_t>(all.size());
      const auto count = static_cast<std::ptrdiff_t>(block.values().size());
      const Numbers part = block.apply([=](double mu) { return mu > cutoff ? 1 / mu : 0; },
                                       Numbers(first, first + count));
      all.insert(all.end(), part.begin(), part.end());
    }
    return all;
  }
};

template <class Body>
void for_all(const Body& body) {
  for (const Kind& kind : kinds) {
    for (const std::size_t samples : {5, 40}) {
      SCOPED_TRACE(testing::Message() << to_string(kind.structure) << ", " << to_string(kind.form)
                                      << ", " << samples << " samples");
      body(double{}, kind, samples);
      body(float{}, kind, samples);
    }
  }
}

void expect_relative(const Numbers& actual, const Numbers& expected, double bound) {
  ASSERT_EQ(actual.size(), expected.size());
  for (std::size_t i = 0; i < actual.size(); ++i) {
    EXPECT_TRUE(within(actual[i], expected[i], bound * std::abs(expected[i]))) << i;
  }
}

TEST(spectrum, of_well_conditioned_matrices) {
  for_all([]<class T>(T, const Kind& kind, std::size_t samples) {
    const Trial<T> t(kind, samples, 0.1);
    const Spectrum spectrum = t.fisher.spectrum();
    const Numbers all = t.values();
    const Numbers expected(all.end() - static_cast<std::ptrdiff_t>(t.possible), all.end());
    EXPECT_EQ(spectrum.outcome, Outcome::accepted);
    EXPECT_EQ(spectrum.size, 13);
    // Whatever the rows' type: products of floats are taken in double.
    expect_relative(spectrum.eigenvalues, expected, well_conditioned);
    EXPECT_EQ(spectrum.rank(), static_cast<std::int64_t>(t.possible));
    EXPECT_EQ(spectrum.rank(1), 0);
    for (const double tolerance : {0.03, 0.2}) {
      const auto above = [&](double mu) { return mu > tolerance * all.back(); };
      EXPECT_EQ(spectrum.rank(tolerance), std::count_if(all.begin(), all.end(), above));
    }
    for (const double damping : {0.0, 0.3}) {
      const double smallest = all.front() + damping;
      double log_determinant = 0;
      for (const double mu : all) log_determinant += std::log(mu + damping);
      if (smallest == 0) {
        EXPECT_EQ(spectrum.condition(), infinity);
        EXPECT_EQ(spectrum.log_determinant(), -infinity);
        continue;
      }
      EXPECT_TRUE(within(spectrum.condition(damping), (all.back() + damping) / smallest,
                         well_conditioned * (all.back() + damping) / smallest));
      EXPECT_TRUE(within(spectrum.log_determinant(damping), log_determinant,
                         well_conditioned * std::abs(log_determinant)));
    }
  });
}

TEST(spectrum, inverse_diagonal) {
  for_all([]<class T>(T, const Kind& kind, std::size_t samples) {
    Trial<T> t(kind, samples, 0.5);
    Tensor<T> diagonal = zeros<T>(13);
    Tensor<double> wide = zeros<double>(13);
    for (const double damping : {0.5, 2.0}) {
      t.fisher.set_damping({.absolute = damping});
      const Numbers expected = t.inverse_diagonal(damping);
      EXPECT_EQ(t.fisher.inverse_diagonal(diagonal.view()), Outcome::accepted);
      EXPECT_EQ(t.fisher.inverse_diagonal(wide.view()), Outcome::accepted);
      expect_relative(wide.numbers(), expected, well_conditioned);
      expect_relative(diagonal.numbers(), expected,
                      well_conditioned + epsilon(element_type_of<T>) / 2);
    }
    // Without damping F must have full rank.
    t.fisher.set_damping({.absolute = 0});
    const bool regular = t.possible == 13;
    const Numbers before = wide.numbers();
    EXPECT_EQ(t.fisher.inverse_diagonal(wide.view()),
              regular ? Outcome::accepted : Outcome::not_positive_definite);
    expect_relative(wide.numbers(), regular ? t.inverse_diagonal(0) : before,
                    regular ? well_conditioned : 0);
  });
}

TEST(spectrum, least_norm) {
  for_all([]<class T>(T, const Kind& kind, std::size_t samples) {
    const Trial<T> t(kind, samples, 0.5);
    Tensor<T> g(Random(3).numbers(13));
    Tensor<T> d = zeros<T>(13);
    for (const double tolerance : {0.0, 0.05, 0.3}) {
      const Gradient gradient{.view = g.view(), .scale = -2};
      EXPECT_EQ(t.fisher.least_norm(gradient, tolerance, d.view()), Outcome::accepted);
      const Numbers expected = t.pseudo_inverse(tolerance, sum(-3, g.numbers(), g.numbers()));
      const double rounding =
          element_type_of<T> == ElementType::float32 ? epsilon(ElementType::float32) / 2 : 0;
      EXPECT_TRUE(relative_error_within(d.numbers(), expected, well_conditioned + rounding));
    }
    EXPECT_EQ(t.fisher.least_norm({.view = g.view()}, 1, d.view()), Outcome::accepted);
    EXPECT_EQ(d.numbers(), Numbers(13, 0.0)) << "no eigenvalue is above the largest";
  });
}

TEST(spectrum, groups_that_are_not_adjacent) {
  Trial<double> t({Structure::full, Form::primal}, 40, 0.5);
  for (const Form form : {Form::primal, Form::dual}) {
    const ParameterGroups groups = {{Segment{0}, Segment{2}}, {Segment{1}}};
    FisherMatrix fisher(t.batch.parameters, {.structure = Structure::block_diagonal,
                                             .groups = groups,
                                             .form = form,
                                             .damping = {.absolute = 0.5}});
    fisher.accumulate(t.batch.scores({.weights = t.weights.view()}));
    const Table F = within_groups(gram(transposed(weighted(t.batch.rows, t.weights.numbers()))),
                                  t.batch.parameters, groups);
    Tensor<double> diagonal = zeros<double>(13);
    Tensor<double> g(Random(3).numbers(13));
    Tensor<double> d = zeros<double>(13);
    EXPECT_EQ(fisher.inverse_diagonal(diagonal.view()), Outcome::accepted);
    EXPECT_EQ(fisher.least_norm({.view = g.view()}, 0, d.view()), Outcome::accepted);
    EXPECT_TRUE(relative_error_within(d.numbers(), solve(F, 0, g.numbers()), well_conditioned));
    double log_determinant = 0;  // of its inverse, from elimination
    for (std::size_t i = 0; i < 13; ++i) {
      Numbers unit(13, 0.0);
      unit[i] = 1;
      EXPECT_TRUE(within(diagonal(i), solve(F, 0.5, unit)[i], well_conditioned));
    }
    for (const double mu : fisher.spectrum().eigenvalues) log_determinant += std::log(mu);
    EXPECT_EQ(log_determinant, fisher.spectrum().log_determinant());
  }
}

TEST(spectrum, of_centred_rows) {
  Trial<double> t({Structure::full, Form::primal}, 40, 0.5);
  const Numbers w = t.weights.numbers();
  double total = 0;
  Numbers mean(13, 0.0);
  for (std::size_t n = 0; n < 40; ++n) {
    total += w[n];
    for (std::size_t j = 0; j < 13; ++j) mean[j] += w[n] * t.batch.rows(n, j);
  }
  Table centred = t.batch.rows;
  for (std::size_t n = 0; n < 40; ++n) {
    for (std::size_t j = 0; j < 13; ++j) centred(n, j) -= mean[j] / total;
  }
  const PlainSpectrum expected(weighted(centred, w));
  for (const Form form : {Form::primal, Form::dual}) {
    FisherMatrix fisher(t.batch.parameters, {.form = form, .damping = {.absolute = 0.5}});
    Tensor<double> c(Random(5).numbers(40));
    fisher.accumulate(t.batch.scores(
        {.weights = t.weights.view(), .coefficients = c.view(), .centering = Centering::rows}));
    expect_relative(fisher.spectrum().eigenvalues, expected.values(), well_conditioned);
    Tensor<double> diagonal = zeros<double>(13);
    EXPECT_EQ(fisher.inverse_diagonal(diagonal.view()), Outcome::accepted);
    expect_relative(diagonal.numbers(),
                    expected.diagonal([](long double mu) { return 1 / (mu + 0.5L); }),
                    well_conditioned);
    Tensor<double> g(Random(3).numbers(13));
    Tensor<double> d = zeros<double>(13);
    EXPECT_EQ(fisher.least_norm({.view = g.view()}, 0, d.view()), Outcome::accepted);
    EXPECT_TRUE(relative_error_within(d.numbers(),
                                      expected.apply([](double mu) { return 1 / mu; }, g.numbers()),
                                      well_conditioned));
  }
}

TEST(spectrum, follows_rows_and_damping) {
  for (const Form form : {Form::primal, Form::dual}) {
    const LayeredBatch<double> batch({.layers = layers, .samples = 40});
    FisherMatrix fisher(batch.parameters,
                        {.form = form, .damping = {.absolute = 0, .relative = 0.5}, .samples = 80});
    const LayerScores scores = batch.scores();
    fisher.accumulate(scores);
    const Spectrum once = fisher.spectrum();
    Tensor<double> diagonal = zeros<double>(13);
    EXPECT_EQ(fisher.inverse_diagonal(diagonal.view()), Outcome::accepted);
    const Numbers first = diagonal.numbers();
    fisher.accumulate(scores);
    const Spectrum twice = fisher.spectrum();
    ASSERT_EQ(twice.eigenvalues.size(), once.eigenvalues.size());
    for (std::size_t k = 0; k < once.eigenvalues.size(); ++k) {
      EXPECT_TRUE(within(twice.eigenvalues[k], 2 * once.eigenvalues[k],
                         well_conditioned * once.eigenvalues[k]));
    }
    // Relative damping grows with F.
    EXPECT_EQ(fisher.inverse_diagonal(diagonal.view()), Outcome::accepted);
    for (std::size_t i = 0; i < 13; ++i) {
      EXPECT_TRUE(within(diagonal(i), first[i] / 2, well_conditioned * first[i]));
    }
    // A solve in between and a report of it are as without.
    Tensor<double> direction = zeros<double>(13);
    fisher.solve(Coefficients{}, direction.view());
    const Numbers d = direction.numbers();
    const SolveReport report = fisher.report();
    EXPECT_EQ(fisher.inverse_diagonal(diagonal.view()), Outcome::accepted);
    EXPECT_EQ(fisher.report().residual, report.residual);
    fisher.solve(Coefficients{}, direction.view());
    EXPECT_EQ(direction.numbers(), d);
  }
}

/// Rows whose columns have the scales of parameters in different units.
Table scaled_rows(std::size_t samples, const Numbers& scales, double coupling) {
  Table S = Random(11).table(samples, scales.size());
  for (std::size_t n = 0; n < samples; ++n) {
    for (std::size_t j = 1; j < scales.size(); ++j) {
      S(n, j) = scales[j] * (S(n, j) * coupling + S(n, 0));
    }
    S(n, 0) *= scales[0];
  }
  return S;
}

struct DenseTrial {
  Tensor<double> theta;
  Tensor<double> rows;
  Tensor<double> weights;
  Parameters parameters{test_context()};
  DenseScores scores{parameters};

  explicit DenseTrial(const Table& S)
      : theta(Numbers(S.columns, 0.0)), rows(S), weights(Numbers(S.rows, 1.0)) {
    parameters.add(theta.view());
    scores.begin(rows.view(), {.weights = weights.view()});
  }
};

TEST(spectrum, of_ill_conditioned_matrices) {
  constexpr std::size_t samples = 50;
  for (const double coupling : {1.0, 1e-3, 1e-5}) {
    const Table S = scaled_rows(samples, {1, 1, 1, 1, 1, 1}, coupling);
    const PlainSpectrum expected(S);
    const Numbers values = expected.values();
    const double largest = values.back();
    const double rounding =
        (6 + 4 * std::sqrt(static_cast<double>(samples))) * epsilon(ElementType::float64);
    const double condition = largest / values.front();
    for (const Form form : {Form::primal, Form::dual}) {
      SCOPED_TRACE(testing::Message() << to_string(form) << ", coupling " << coupling);
      DenseTrial t(S);
      FisherMatrix fisher(t.parameters, {.form = form, .damping = {.absolute = 0}});
      fisher.accumulate(t.scores);
      const Spectrum spectrum = fisher.spectrum();
      for (std::size_t k = 0; k < 6; ++k) {
        EXPECT_TRUE(within(spectrum.eigenvalues[k], values[k], rounding * largest));
      }
      EXPECT_EQ(spectrum.rank(), 6);
      EXPECT_TRUE(within(spectrum.condition(), condition, 2 * condition * condition * rounding));
      Tensor<double> diagonal = zeros<double>(6);
      EXPECT_EQ(fisher.inverse_diagonal(diagonal.view()), Outcome::accepted);
      expect_relative(diagonal.numbers(), expected.diagonal([](auto mu) { return 1 / mu; }),
                      2 * condition * rounding);
      Tensor<double> g(Random(3).numbers(6));
      Tensor<double> d = zeros<double>(6);
      EXPECT_EQ(fisher.least_norm({.view = g.view()}, 0, d.view()), Outcome::accepted);
      EXPECT_TRUE(relative_error_within(
          d.numbers(), expected.apply([](double mu) { return 1 / mu; }, g.numbers()),
          2 * condition * rounding));
      EXPECT_EQ(fisher.least_norm({.view = g.view()}, 0.1, d.view()), Outcome::accepted);
      EXPECT_TRUE(relative_error_within(
          d.numbers(),
          expected.apply([&](double mu) { return mu > 0.1 * largest ? 1 / mu : 0; }, g.numbers()),
          well_conditioned));
    }
  }
}

/// Standard errors of parameters in very different units are as good as of one unit: the condition
/// of F is 1e24 here.
TEST(spectrum, inverse_diagonal_does_not_depend_on_units) {
  const Numbers scales = {1, 1e6, 1e-6, 1e3, 1e-3, 1};
  const Numbers ones(6, 1.0);
  DenseTrial t(scaled_rows(50, scales, 1));
  FisherMatrix fisher(t.parameters, {.form = Form::primal, .damping = {.absolute = 0}});
  fisher.accumulate(t.scores);
  Tensor<double> diagonal = zeros<double>(6);
  EXPECT_EQ(fisher.inverse_diagonal(diagonal.view()), Outcome::accepted);
  const Numbers unscaled =
      PlainSpectrum(scaled_rows(50, ones, 1)).diagonal([](auto mu) { return 1 / mu; });
  for (std::size_t i = 0; i < 6; ++i) {
    const double expected = unscaled[i] / scales[i] / scales[i];
    EXPECT_TRUE(within(diagonal(i), expected, 1e-12 * expected));
  }
}

TEST(spectrum, linear_dependence_is_rank) {
  Table S = scaled_rows(50, {1, 1, 1, 1, 1, 1}, 1);
  for (std::size_t n = 0; n < S.rows; ++n) S(n, 5) = 3 * S(n, 0) - S(n, 2);
  const PlainSpectrum expected(S);
  Numbers g = Random(3).numbers(6);
  for (const Form form : {Form::primal, Form::dual}) {
    DenseTrial t(S);
    FisherMatrix fisher(t.parameters, {.form = form, .damping = {.absolute = 0}});
    fisher.accumulate(t.scores);
    const Spectrum spectrum = fisher.spectrum();
    EXPECT_EQ(spectrum.rank(), 5);
    EXPECT_EQ(spectrum.eigenvalues.front(), 0);
    EXPECT_EQ(spectrum.log_determinant(), -infinity);
    EXPECT_EQ(spectrum.condition(), infinity);
    Tensor<double> d(Numbers(6, 7.0));
    EXPECT_EQ(fisher.inverse_diagonal(d.view()), Outcome::not_positive_definite);
    EXPECT_EQ(d.numbers(), Numbers(6, 7.0));
    Tensor<double> gradient(g);
    EXPECT_EQ(fisher.least_norm({.view = gradient.view()}, 0, d.view()), Outcome::accepted);
    const auto inverse = [&](double mu) { return mu > 1e-12 * expected.largest() ? 1 / mu : 0; };
    EXPECT_TRUE(relative_error_within(d.numbers(), expected.apply(inverse, g), well_conditioned));
  }
}

TEST(spectrum, of_zero_rows) {
  for (const Form form : {Form::primal, Form::dual}) {
    DenseTrial t(Table(4, 3));
    FisherMatrix fisher(t.parameters, {.form = form, .damping = {.absolute = 2}});
    fisher.accumulate(t.scores);
    const Spectrum spectrum = fisher.spectrum();
    EXPECT_EQ(spectrum.eigenvalues, Numbers(3, 0.0));
    EXPECT_EQ(spectrum.rank(), 0);
    EXPECT_EQ(spectrum.condition(), infinity);
    EXPECT_EQ(spectrum.condition(2), 1);
    EXPECT_TRUE(within(spectrum.log_determinant(2), 3 * std::log(2), 1e-15));
    Tensor<double> d(Numbers(3, 7.0));
    EXPECT_EQ(fisher.inverse_diagonal(d.view()), Outcome::accepted);
    expect_relative(d.numbers(), Numbers(3, 0.5), 1e-15);
    Tensor<double> g(Numbers(3, 1.0));
    EXPECT_EQ(fisher.least_norm({.view = g.view()}, 0, d.view()), Outcome::accepted);
    EXPECT_EQ(d.numbers(), Numbers(3, 0.0));
  }
}

TEST(spectrum, what_is_not_finite_is_an_outcome) {
  for (const Kind& kind : kinds) {
    SCOPED_TRACE(testing::Message() << to_string(kind.structure) << ", " << to_string(kind.form));
    const LayeredBatch<double> batch({.layers = layers, .samples = 6});
    Tensor<double> weights(Numbers(6, 0.1));
    weights(3) = std::nan("");
    FisherMatrix fisher(batch.parameters, {.structure = kind.structure, .form = kind.form});
    fisher.accumulate(batch.scores({.weights = weights.view()}));
    const Spectrum spectrum = fisher.spectrum();
    EXPECT_EQ(spectrum.outcome, Outcome::not_finite);
    EXPECT_TRUE(spectrum.eigenvalues.empty());
    EXPECT_EQ(spectrum.rank(), 0);
    EXPECT_TRUE(std::isnan(spectrum.condition()) && std::isnan(spectrum.log_determinant()));
    Tensor<double> result(Numbers(13, 7.0));
    Tensor<double> g(Random(3).numbers(13));
    EXPECT_EQ(fisher.inverse_diagonal(result.view()), Outcome::not_finite);
    EXPECT_EQ(fisher.least_norm({.view = g.view()}, 0, result.view()), Outcome::not_finite);
    // Rows that are well again, and a gradient that is not.
    fisher.reset();
    fisher.accumulate(batch.scores());
    EXPECT_EQ(fisher.spectrum().outcome, Outcome::accepted);
    g(2) = infinity;
    EXPECT_EQ(fisher.least_norm({.view = g.view()}, 0, result.view()), Outcome::not_finite);
    EXPECT_EQ(result.numbers(), Numbers(13, 7.0));
  }
}

TEST(spectrum, a_variance_that_overflows_its_type_is_an_outcome) {
  Tensor<float> theta(Numbers(2, 0.0));
  Table S(2, 2);
  S(0, 0) = 1;
  S(1, 1) = 1e-20;
  Tensor<float> rows(S);
  Tensor<float> weights(Numbers(2, 1.0));
  Parameters parameters(test_context());
  parameters.add(theta.view());
  DenseScores scores(parameters);
  scores.begin(rows.view(), {.weights = weights.view()});
  FisherMatrix fisher(parameters, {.form = Form::primal, .damping = {.absolute = 0}});
  fisher.accumulate(scores);
  Tensor<float> narrow(Numbers(2, 7.0));
  Tensor<double> wide(Numbers(2, 7.0));
  EXPECT_EQ(fisher.inverse_diagonal(narrow.view()), Outcome::not_finite);
  EXPECT_EQ(narrow.numbers(), Numbers(2, 7.0));
  EXPECT_EQ(fisher.inverse_diagonal(wide.view()), Outcome::accepted);
  EXPECT_TRUE(within(wide(1), 1e40, 1e-6 * 1e40));
}

}  // namespace

}  // namespace natgrad::tests
