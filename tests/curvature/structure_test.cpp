#include "natgrad/natgrad.hpp"
#include "support/device.hpp"
#include "support/plain.hpp"
#include "support/structured.hpp"
#include "support/tolerance.hpp"
#include "support/uses.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

// Structures of the Fisher matrix against the full one, in double: a block is that block of it, a
// diagonal its diagonal, and one block all of it.

namespace natgrad::tests {

namespace {

constexpr double same = 1e-12;  // relative; the systems' condition is below 1e3
constexpr double lambda = 0.3;
constexpr std::int64_t samples = 24;

struct Net {
  const char* name;
  std::vector<Use> uses;
  ParameterGroups layers = {};  // what the uses name together
  ParameterGroups mixed = {};   // other groups, which part weights from their biases
};

std::vector<Net> nets() {
  const ParameterGroups two_layers = {{{0}, {1}}, {{2}, {3}}};
  const ParameterGroups crossed = {{{0}, {3}}, {{1}, {2}}};
  return {
      {.name = "two layers",
       .uses = {{.inputs = 5, .outputs = 4}, {.inputs = 4, .outputs = 3}},
       .layers = two_layers,
       .mixed = crossed},
      {.name = "terms",
       .uses = {{.inputs = 3, .outputs = 5, .terms = 7},
                {.inputs = 5, .outputs = 2, .terms = 3, .bias_terms = Bias::first_term},
                {.inputs = 0, .outputs = 4}},
       .layers = {{{0}, {1}}, {{2}, {3}}, {{4}}},
       .mixed = {{{0}, {4}}, {{1}}, {{2}}, {{3}}}},
      {.name = "rows of one input",
       .uses = {{.inputs = 6, .outputs = 3, .rows_per_input = 3},
                {.inputs = 3, .outputs = 2, .rows_per_input = 3}},
       .layers = two_layers,
       .mixed = crossed},
      {.name = "row ranges",
       .uses = {{.inputs = 4, .outputs = 3, .terms = 5, .half = 1, .bias_terms = Bias::first_term},
                {.inputs = 4, .outputs = 3, .half = 2, .same_as = 0},
                {.inputs = 3, .outputs = 2, .terms = 2}},
       .layers = two_layers,
       .mixed = crossed},
      {.name = "tied",
       .uses = {{.inputs = 4, .outputs = 4},
                {.inputs = 4, .outputs = 2},
                {.inputs = 4, .outputs = 4, .same_as = 0}},
       .layers = two_layers,
       .mixed = crossed},
  };
}

/// Rows of a net with weights and coefficients.
struct Rows {
  UsedRows<double> used;
  Tensor<double> weights;
  Tensor<double> coefficients{Random(3).numbers(samples)};
  Tensor<double> formed;  // dense rows, instead of those of layers
  LayerScores layers{used.parameters, {.kind = FisherKind::exact}};
  LayerScores likely{used.parameters};
  DenseScores dense{used.parameters, {.kind = FisherKind::exact}};
  Centering centering = Centering::none;
  bool as_dense = false;

  explicit Rows(const Net& net) : used(net.uses, samples) {
    Numbers w = Random(4).numbers(samples);
    for (double& value : w) value = (1.5 + value) / samples;
    weights = Tensor<double>(w);
    formed = Tensor<double>(Random(5).table(samples, size()), 1);
  }
  std::size_t size() const { return static_cast<std::size_t>(used.parameters.size()); }

  const Scores& part(std::int64_t first, std::int64_t count) {
    RowSet set{.samples = count,
               .batch_samples = samples,
               .weights = weights.view().row_range(first, count),
               .centering = centering};
    // Centring for the Fisher alone goes with maximum likelihood.
    const bool likelihood = centering == Centering::fisher_only;
    if (!likelihood) set.coefficients = coefficients.view().row_range(first, count);
    if (as_dense) {
      dense.begin(formed.view().row_range(first, count), set);
      return dense;
    }
    LayerScores& scores = likelihood ? likely : layers;
    used.fill(scores, set, first);
    return scores;
  }
  FisherMatrix matrix(const FisherMatrix::Options& options, bool in_parts = false) {
    FisherMatrix fisher(used.parameters, options);
    if (in_parts) {
      for (std::int64_t first : {std::int64_t{0}, std::int64_t{6}}) {
        fisher.accumulate(part(first, first == 0 ? 6 : samples - 6));
      }
    } else {
      fisher.accumulate(part(0, samples));
    }
    return fisher;
  }
};

Table dense_of(const FisherMatrix& fisher) {
  const auto p = static_cast<std::size_t>(fisher.size());
  Tensor<double> matrix(Table(p, p), 2);
  fisher.to_dense(matrix.view());
  return matrix.table();
}

/// What a structure must give, from the full matrix.
struct Expected {
  Table F;  // with zeros outside the structure
  Numbers g;

  /// In parts, because halves of parts are other rows than halves of all.
  Expected(Rows& rows, const ParameterGroups& groups, bool in_parts = false) {
    FisherMatrix full =
        rows.matrix({.form = Form::primal, .damping = {.absolute = lambda}}, in_parts);
    const Table all = dense_of(full);
    const Numbers d = solved(full);
    g = sum(lambda, d, multiply(all, d));
    F = within_groups(all, rows.used.parameters, groups);
  }
  Numbers direction() const { return solve(F, lambda, g); }
};

void expect_matrix(const FisherMatrix& fisher, const Table& F) {
  const double bound = same * trace(F);
  const Table dense = dense_of(fisher);
  Tensor<double> diagonal = zeros<double>(fisher.size());
  fisher.diagonal(diagonal.view());
  for (std::size_t i = 0; i < F.rows; ++i) {
    EXPECT_TRUE(within(diagonal(i), F(i, i), bound)) << i;
    for (std::size_t j = 0; j < F.rows; ++j) {
      EXPECT_TRUE(within(dense(i, j), F(i, j), bound)) << i << ", " << j;
    }
  }
  EXPECT_TRUE(within(fisher.trace(), trace(F), bound));
  Tensor<double> v(Random(7).numbers(F.rows));
  Tensor<double> product = zeros<double>(fisher.size());
  fisher.apply(v.view(), product.view());
  const Numbers expected = multiply(F, v.numbers());
  EXPECT_TRUE(relative_error_within(product.numbers(), expected, 10 * same));
  const double square = dot(v.numbers(), expected);
  EXPECT_TRUE(within(fisher.quadratic_form(v.view()), square, 10 * same * square));
}

void expect_solves(FisherMatrix& fisher, const Expected& expected, Structure structure,
                   bool any_gradient) {
  const Numbers d = expected.direction();
  EXPECT_TRUE(relative_error_within(solved(fisher), d, 10 * same));
  const SolveReport report = fisher.report();
  EXPECT_EQ(report.structure, structure);
  EXPECT_EQ(report.damping, lambda);
  EXPECT_TRUE(report.residual <= same);
  EXPECT_TRUE(report.error_bound <= same);
  const double square = dot(d, multiply(expected.F, d));
  EXPECT_TRUE(within(report.quadratic_form, square, 100 * same * square));
  if (!any_gradient) return;
  const Numbers other = Random(8).numbers(d.size());
  EXPECT_TRUE(relative_error_within(solved(fisher, &other),
                                    solve(expected.F, lambda, sum(-3, other, other)), 100 * same));
}

/// Calls body(rows) for every net, dense rows and centring.
template <class Body>
void for_all(const Body& body) {
  for (const Net& net : nets()) {
    for (bool dense : {false, true}) {
      for (Centering centering : {Centering::none, Centering::rows, Centering::fisher_only}) {
        if (dense && centering == Centering::fisher_only) continue;  // of exact rows, there
        SCOPED_TRACE(testing::Message() << net.name << (dense ? ", dense" : "") << ", centering "
                                        << static_cast<int>(centering));
        Rows rows(net);
        rows.as_dense = dense;
        rows.centering = centering;
        body(net, rows);
      }
    }
  }
}

TEST(structure, blocks_are_those_of_the_full_matrix) {
  for_all([](const Net& net, Rows& rows) {
    const ParameterGroups each = each_segment(rows.used.parameters);
    const ParameterGroups all = one_group(rows.used.parameters);
    for (const ParameterGroups& groups : {ParameterGroups{}, net.mixed, each, all}) {
      const ParameterGroups named = rows.as_dense ? each : net.layers;
      for (bool in_parts : {false, true}) {
        const Expected expected(rows, groups.empty() ? named : groups, in_parts);
        for (Form form : {Form::primal, Form::dual}) {
          SCOPED_TRACE(testing::Message() << groups.size() << " groups, " << to_string(form)
                                          << (in_parts ? ", in parts" : ""));
          FisherMatrix fisher = rows.matrix({.structure = Structure::block_diagonal,
                                             .groups = groups,
                                             .form = form,
                                             .damping = {.absolute = lambda},
                                             .tile_rows = 7},
                                            in_parts);
          EXPECT_EQ(fisher.form(), form);
          expect_matrix(fisher, expected.F);
          expect_solves(fisher, expected, Structure::block_diagonal,
                        rows.centering != Centering::fisher_only);
        }
      }
    }
  });
}

TEST(structure, a_diagonal_is_that_of_the_full_matrix) {
  for_all([](const Net&, Rows& rows) {
    for (bool in_parts : {false, true}) {
      Expected expected(rows, one_group(rows.used.parameters), in_parts);
      for (std::size_t i = 0; i < expected.F.rows; ++i) {
        for (std::size_t j = 0; j < expected.F.rows; ++j) {
          if (i != j) expected.F(i, j) = 0;
        }
      }
      for (std::int64_t tile_rows : {1, 7, 256}) {
        SCOPED_TRACE(testing::Message()
                     << tile_rows << " rows at a time" << (in_parts ? ", in parts" : ""));
        FisherMatrix fisher = rows.matrix({.structure = Structure::diagonal,
                                           .damping = {.absolute = lambda},
                                           .tile_rows = tile_rows},
                                          in_parts);
        EXPECT_EQ(fisher.form(), Form::primal);
        expect_matrix(fisher, expected.F);
        expect_solves(fisher, expected, Structure::diagonal,
                      rows.centering != Centering::fisher_only);
      }
    }
  });
}

TEST(structure, float_rows_are_those_of_their_doubles) {
  const std::vector<Use> uses = {{.inputs = 5, .outputs = 4, .rows_per_input = 2},
                                 {.inputs = 4, .outputs = 3, .terms = 2}};
  const UsedRows<float> rows(uses, samples);
  const UsedRows<double> wide(uses, samples);
  for (Structure structure : {Structure::block_diagonal, Structure::diagonal}) {
    SCOPED_TRACE(to_string(structure));
    const auto direction = [&]<class T>(const UsedRows<T>& of) {
      LayerScores scores(of.parameters);
      of.fill(scores, {.samples = samples});
      FisherMatrix fisher(of.parameters, {.structure = structure, .damping = {.absolute = lambda}});
      fisher.accumulate(scores);
      Tensor<T> d = zeros<T>(fisher.size());
      fisher.solve(Coefficients{}, d.view());
      EXPECT_EQ(fisher.report().outcome, Outcome::accepted);
      EXPECT_GT(fisher.report().error_bound, 0);
      return d.numbers();
    };
    EXPECT_TRUE(relative_error_within(direction(rows), direction(wide), 1e-5));
  }
}

TEST(structure, relative_damping_is_of_each_block) {
  Rows rows(nets().front());
  const Expected expected(rows, nets().front().layers);
  FisherMatrix fisher = rows.matrix({.structure = Structure::block_diagonal,
                                     .form = Form::dual,
                                     .damping = {.absolute = 0, .relative = 0.2}});
  const Numbers d = solved(fisher);
  double largest = 0;
  std::size_t first = 0;
  for (std::size_t size : {std::size_t{24}, std::size_t{15}}) {
    Table block(size, size);
    Numbers g(size);
    for (std::size_t i = 0; i < size; ++i) {
      g[i] = expected.g[first + i];
      for (std::size_t j = 0; j < size; ++j) block(i, j) = expected.F(first + i, first + j);
    }
    const double damping = 0.2 * trace(block) / static_cast<double>(size);
    largest = std::fmax(largest, damping);
    const Numbers own(d.begin() + static_cast<std::ptrdiff_t>(first),
                      d.begin() + static_cast<std::ptrdiff_t>(first + size));
    EXPECT_TRUE(relative_error_within(own, solve(block, damping, g), 100 * same));
    first += size;
  }
  EXPECT_TRUE(within(fisher.report().damping, largest, same * largest));
}

TEST(structure, blocks_choose_their_forms) {
  // 24 rows: 4 x 4 + 4 parameters are fewer, 40 x 3 + 3 more.
  const Net net{.name = "", .uses = {{.inputs = 4, .outputs = 4}, {.inputs = 40, .outputs = 3}}};
  Rows rows(net);
  const Expected expected(rows, {{{0}, {1}}, {{2}, {3}}});
  FisherMatrix fisher =
      rows.matrix({.structure = Structure::block_diagonal, .damping = {.absolute = lambda}});
  EXPECT_EQ(fisher.form(), Form::automatic);
  expect_matrix(fisher, expected.F);
  expect_solves(fisher, expected, Structure::block_diagonal, true);
  // One block keeps no rows.
  Tensor<double> direction = zeros<double>(fisher.size());
  EXPECT_THROW(fisher.solve(Coefficients{rows.coefficients.view()}, direction.view()),
               ArgumentError);
  fisher.set_damping({.absolute = 0});
  EXPECT_THROW(fisher.solve(Gradient{direction.view()}, direction.view()), ArgumentError);
}

TEST(structure, a_solve_brings_coefficients_of_its_own) {
  const Net net = nets().front();
  Rows rows(net);
  FisherMatrix fisher = rows.matrix({.structure = Structure::block_diagonal,
                                     .groups = net.mixed,
                                     .form = Form::dual,
                                     .damping = {.absolute = lambda}});
  Tensor<double> other(Random(9).numbers(samples));
  Tensor<double> direction = zeros<double>(fisher.size());
  fisher.solve(Coefficients{other.view()}, direction.view());
  rows.coefficients = other;
  const Expected expected(rows, net.mixed);
  EXPECT_TRUE(relative_error_within(direction.numbers(), expected.direction(), 10 * same));
}

}  // namespace

}  // namespace natgrad::tests
