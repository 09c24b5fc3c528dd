#include "natgrad/natgrad.hpp"
#include "support/direction_bound.hpp"
#include "support/numeric_layer.hpp"
#include "support/plain.hpp"
#include "support/tolerance.hpp"
#include "support/use_scores.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

// What must hold between two ways to hand over the same rows: uses of random factors, in double.

namespace natgrad::tests {

namespace {

constexpr std::array forms{Form::primal, Form::dual};
constexpr std::size_t n = 12;
const std::vector<TensorShape> tensors = {{4, 3}, {4}, {3, 5}, {3}, {6}};
constexpr std::size_t p = 12 + 4 + 15 + 3 + 6;

Numbers start() { return Random(1).numbers(p); }

struct UseShape {
  std::size_t rows = n;
  std::size_t terms = 1;
  std::size_t first = 0;
  std::size_t rows_per_input = 1;
  bool bias_first_term = false;
};

/// A random use of tensor `weight` (or none) and `bias`.
NumericLayer random_use(Random& random, int weight, int bias, const UseShape& shape = {}) {
  NumericLayer use{.weight = weight,
                   .bias = bias,
                   .terms = shape.terms,
                   .bias_first_term = shape.bias_first_term,
                   .first = shape.first,
                   .rows_per_input = shape.rows_per_input};
  const TensorShape& tensor = tensors[static_cast<std::size_t>(weight >= 0 ? weight : bias)];
  const std::size_t factors = shape.rows * shape.terms;
  if (weight >= 0) use.input = random.table(factors / shape.rows_per_input, tensor.columns);
  use.output_score = random.table(factors, tensor.rows);
  return use;
}

Table joined(const Table& a, const Table& b) {
  Table both = a;
  both.rows += b.rows;
  both.elements.insert(both.elements.end(), b.elements.begin(), b.elements.end());
  return both;
}

/// Rows [first, first + count) of a use, as rows of a set of their own that starts at `first`.
NumericLayer part_of(NumericLayer use, std::size_t first, std::size_t count) {
  const std::size_t t = use.terms;
  const std::size_t r = use.rows_per_input;
  if (use.weight >= 0) use.input = row_range(use.input, first / r * t, count / r * t);
  use.output_score = row_range(use.output_score, first * t, count * t);
  use.first += first;
  return use;
}

/// A gradient, F, K's solution and a step of one way to hand over n rows.
struct Results {
  Numbers gradient;
  std::vector<Numbers> of_forms;
};

Results results_of(const std::vector<NumericLayer>& uses) {
  Results results;
  Tensor<double> c(Random(2).numbers(n));
  const ModelParameters model(tensors, start());
  const UseScores layers(model.parameters, uses, {.samples = n, .coefficients = c.view()});
  Tensor<double> numbers = zeros<double>(p);
  layers.scores.gradient(numbers.view());
  results.gradient = numbers.numbers();
  for (Form form : forms) {
    FisherMatrix fisher(model.parameters,
                        {.form = form, .damping = {.absolute = 1}, .tile_rows = 5});
    fisher.accumulate(layers.scores);
    Tensor<double> dense(Table(p, p));
    fisher.to_dense(dense.view());
    results.of_forms.push_back(dense.numbers());
    fisher.solve(Coefficients{}, numbers.view());
    results.of_forms.push_back(numbers.numbers());
    NaturalGradient optimizer(model.parameters, {.damping = {.absolute = 1}, .form = form});
    const Numbers before = model.numbers();
    for (int step = 0; step < 2; ++step) optimizer.step(layers.scores);
    results.of_forms.push_back(sum(-1, before, model.numbers()));
    model.parameters.scatter(Tensor<double>(start()).view());
  }
  return results;
}

/// Of all results: sums of other lengths and orders, through a solve of at most this condition.
double bound_of(const std::vector<NumericLayer>& uses) {
  return 4 * direction_bound(rows_of(uses, tensors, n), ElementType::float64, 1);
}

void expect_same(const std::vector<NumericLayer>& one, const std::vector<NumericLayer>& other) {
  const Table rows = rows_of(one, tensors, n);
  const double bound = bound_of(one);
  EXPECT_LE(relative_error(rows_of(other, tensors, n).elements, rows.elements), bound);
  const Results a = results_of(one);
  const Results b = results_of(other);
  EXPECT_TRUE(relative_error_within(a.gradient, b.gradient, bound));
  for (std::size_t i = 0; i < a.of_forms.size(); ++i) {
    EXPECT_TRUE(relative_error_within(a.of_forms[i], b.of_forms[i], bound)) << i;
  }
}

TEST(term_identities, tied_weights_are_one_weight_of_more_terms) {
  Random random(11);
  const NumericLayer a = random_use(random, 0, 1, {.terms = 2});
  const NumericLayer b = random_use(random, 0, 1);
  NumericLayer both = a;
  both.terms = 3;
  both.input = Table(3 * n, 3);
  both.output_score = Table(3 * n, 4);
  for (std::size_t i = 0; i < 3 * n; ++i) {
    const NumericLayer& from = i % 3 < 2 ? a : b;
    const std::size_t row = i % 3 < 2 ? i / 3 * 2 + i % 3 : i / 3;
    put(both.input, i, row_range(from.input, row, 1).elements);
    put(both.output_score, i, row_range(from.output_score, row, 1).elements);
  }
  const NumericLayer other = random_use(random, 2, 3);
  const NumericLayer dense = random_use(random, -1, 4);
  expect_same({both, other, dense}, {a, other, b, dense});
}

TEST(term_identities, tied_weights_have_the_sum_of_their_rows) {
  Random random(12);
  const NumericLayer a = random_use(random, 0, 1, {.terms = 3, .bias_first_term = true});
  const NumericLayer b = random_use(random, 0, -1, {.terms = 2});
  const NumericLayer c = random_use(random, 2, 3);
  const Table sum_of_rows = rows_of({a, b, c}, tensors, n);
  Tensor<double> rows(sum_of_rows);
  const ModelParameters model(tensors, start());
  const UseScores layers(model.parameters, {a, b, c}, {.samples = n});
  DenseScores dense(model.parameters);
  dense.begin(rows.view());
  const double bound = bound_of({a, b, c});
  for (Form form : forms) {
    std::array<Numbers, 2> directions;
    for (std::size_t i = 0; i < 2; ++i) {
      FisherMatrix fisher(model.parameters, {.form = form, .damping = {.absolute = 1}});
      fisher.accumulate(i == 0 ? static_cast<const Scores&>(layers.scores) : dense);
      Tensor<double> direction = zeros<double>(p);
      fisher.solve(Coefficients{}, direction.view());
      directions[i] = direction.numbers();
    }
    EXPECT_TRUE(relative_error_within(directions[0], directions[1], bound)) << to_string(form);
  }
}

TEST(term_identities, rows_of_one_input_are_rows_whose_input_is_repeated) {
  for (std::size_t terms : {1, 3}) {
    Random random(13);
    const NumericLayer shared = random_use(random, 0, 1, {.terms = terms, .rows_per_input = 4});
    NumericLayer repeated = shared;
    repeated.rows_per_input = 1;
    repeated.input = Table(n * terms, 3);
    for (std::size_t i = 0; i < n * terms; ++i) {
      const std::size_t row = i / terms / 4 * terms + i % terms;
      put(repeated.input, i, row_range(shared.input, row, 1).elements);
    }
    // Another use of the same weight that has an input for every row.
    const NumericLayer tied = random_use(random, 0, 1);
    expect_same({shared}, {repeated});
    expect_same({shared, tied}, {repeated, tied});
  }
}

TEST(term_identities, ranges_in_pieces_are_one_piece) {
  Random random(14);
  const NumericLayer whole = random_use(random, 0, 1, {.terms = 2, .rows_per_input = 2});
  const NumericLayer dense = random_use(random, -1, 4);
  const NumericLayer other = random_use(random, 2, 3, {.rows = 5, .first = 4});
  expect_same(
      {whole, dense, other},
      {part_of(whole, 4, 6), part_of(dense, 0, 7), part_of(whole, 10, 2), part_of(other, 2, 3),
       part_of(whole, 0, 4), part_of(other, 0, 2), part_of(dense, 7, 5)});
}

TEST(term_identities, rows_of_fewer_terms_are_padded_with_zeros) {
  Random random(15);
  const NumericLayer few = random_use(random, 0, 1, {.rows = 5, .terms = 1});
  const NumericLayer many = random_use(random, 0, 1, {.rows = 7, .terms = 3, .first = 5});
  NumericLayer padded = many;
  padded.first = 0;
  padded.input = joined(random.table(5 * 3, 3), many.input);  // inputs that count for nothing
  padded.output_score = joined(Table(5 * 3, 4), many.output_score);
  for (std::size_t i = 0; i < 5; ++i) {
    put(padded.input, i * 3, row_range(few.input, i, 1).elements);
    put(padded.output_score, i * 3, row_range(few.output_score, i, 1).elements);
  }
  expect_same({padded}, {few, many});
}

/// The parts of a batch, whose uses count rows from the part's first, are the whole batch: two
/// steps, F and a solve.
void expect_parts_are_the_whole(const std::vector<std::vector<NumericLayer>>& parts) {
  std::vector<NumericLayer> all;
  std::vector<std::int64_t> counts;
  std::size_t first = 0;
  for (std::vector<NumericLayer> uses : parts) {
    std::size_t count = 0;
    for (NumericLayer& use : uses) {
      count = std::max(count, use.first + use.rows());
      use.first += first;
    }
    all.insert(all.end(), uses.begin(), uses.end());
    counts.push_back(static_cast<std::int64_t>(count));
    first += count;
  }
  ASSERT_EQ(first, n);
  Tensor<double> coefficients(Random(3).numbers(n));
  const double bound = bound_of(all);
  for (Form form : forms) {
    SCOPED_TRACE(to_string(form));
    const NaturalGradient::Options options{.damping = {.absolute = 1}, .form = form};
    const ModelParameters whole(tensors, start());
    NaturalGradient one(whole.parameters, options);
    FisherMatrix whole_fisher(whole.parameters, {.form = form, .damping = {.absolute = 1}});
    const ModelParameters accumulated(tensors, start());
    NaturalGradient many(accumulated.parameters, options);
    FisherMatrix fisher(accumulated.parameters,
                        {.form = form, .damping = {.absolute = 1}, .samples = n});
    for (int step = 0; step < 2; ++step) {
      const UseScores set(whole.parameters, all,
                          {.samples = n, .coefficients = coefficients.view()});
      one.step(set.scores);
      if (step == 0) whole_fisher.accumulate(set.scores);
      std::int64_t at = 0;
      for (std::size_t i = 0; i < parts.size(); ++i) {
        const UseScores part(accumulated.parameters, parts[i],
                             {.samples = counts[i],
                              .batch_samples = n,
                              .coefficients = coefficients.view().row_range(at, counts[i])});
        many.accumulate(part.scores);
        if (step == 0) fisher.accumulate(part.scores);
        at += counts[i];
      }
      many.step();
    }
    EXPECT_EQ(many.report().outcome, Outcome::accepted);
    EXPECT_EQ(many.report().form, form);
    EXPECT_TRUE(relative_error_within(sum(-1, start(), accumulated.numbers()),
                                      sum(-1, start(), whole.numbers()), bound));
    Tensor<double> expected(Table(p, p));
    Tensor<double> actual(Table(p, p));
    whole_fisher.to_dense(expected.view());
    fisher.to_dense(actual.view());
    EXPECT_TRUE(relative_error_within(actual.numbers(), expected.numbers(), bound));
    Tensor<double> expected_d = zeros<double>(p);
    Tensor<double> d = zeros<double>(p);
    whole_fisher.solve(Coefficients{}, expected_d.view());
    fisher.solve(Coefficients{}, d.view());
    EXPECT_TRUE(relative_error_within(d.numbers(), expected_d.numbers(), bound));
  }
}

TEST(term_identities, micro_batches_are_the_whole_batch) {
  Random random(16);
  // In every part: terms, a tie, rows of one input, a range that ends within it, a dense block.
  std::vector<std::vector<NumericLayer>> parts;
  for (std::size_t count : {4, 2, 6}) {
    const std::size_t half = count / 2;
    parts.push_back({random_use(random, 0, 1, {.rows = half, .terms = 3, .bias_first_term = true}),
                     random_use(random, 0, 1, {.rows = count - half, .first = half}),
                     random_use(random, 2, 3, {.rows = count, .terms = 2, .rows_per_input = 2}),
                     random_use(random, 2, -1, {.rows = count}),
                     random_use(random, -1, 4, {.rows = count})});
  }
  expect_parts_are_the_whole(parts);
}

TEST(term_identities, parts_may_have_other_terms) {
  // Sequences sorted into buckets by their length: the first is neither the longest nor the
  // shortest, and one length comes twice.
  Random random(21);
  std::vector<std::vector<NumericLayer>> parts;
  for (const auto& [count, terms] :
       {std::pair<std::size_t, std::size_t>{3, 3}, {2, 5}, {4, 1}, {3, 3}}) {
    parts.push_back({random_use(random, 0, 1, {.rows = count, .terms = terms}),
                     random_use(random, 2, 3, {.rows = count, .terms = terms}),
                     random_use(random, -1, 4, {.rows = count})});
  }
  expect_parts_are_the_whole(parts);
}

TEST(term_identities, parts_may_have_other_layers) {
  Random random(22);
  const std::vector<NumericLayer> in_order = {random_use(random, 0, 1, {.rows = 3}),
                                              random_use(random, 2, 3, {.rows = 3})};
  // Another order, a tie, another number of rows an input, a bias of the first term alone; then one
  // layer that the first part did not have, and one without its bias.
  const std::vector<NumericLayer> others = {
      random_use(random, 2, 3, {.rows = 4, .terms = 2, .rows_per_input = 2}),
      random_use(random, 0, 1, {.rows = 4, .terms = 2, .bias_first_term = true}),
      random_use(random, 0, 1, {.rows = 4})};
  const std::vector<NumericLayer> few = {random_use(random, -1, 4, {.rows = 2}),
                                         random_use(random, 0, -1, {.rows = 1})};
  const std::vector<NumericLayer> again = {random_use(random, 0, 1, {.rows = 3}),
                                           random_use(random, 2, 3, {.rows = 3})};
  expect_parts_are_the_whole({in_order, others, few, again});
  expect_parts_are_the_whole({few, again, others, in_order});
}

/// What remains when some tensors are frozen: the same uses of the others alone.
TEST(term_identities, a_frozen_tensor_is_as_if_it_were_no_parameter) {
  Random random(17);
  const std::vector<NumericLayer> uses = {
      random_use(random, 0, 1, {.terms = 3, .bias_first_term = true}),
      random_use(random, 0, 1, {.terms = 2, .rows_per_input = 3}),
      random_use(random, 2, 3, {.rows = 7, .terms = 2}),
      random_use(random, 2, 3, {.rows = 5, .first = 7}), random_use(random, -1, 4)};
  const std::vector<std::size_t> at = offsets_of(tensors);
  const Table rows = rows_of(uses, tensors, n);
  for (const std::vector<std::size_t>& frozen :
       {std::vector<std::size_t>{0}, {1}, {2, 3}, {1, 2}, {4}, {0, 4}}) {
    for (Form form : forms) {
      SCOPED_TRACE(testing::Message() << "tensor " << frozen[0] << ", " << to_string(form));
      NaturalGradient::Options options{.damping = {.absolute = 1}, .form = form};
      for (std::size_t i : frozen) {
        options.rate_factors.push_back({{static_cast<int>(i)}, 0});
      }
      const ModelParameters model(tensors, start());
      const UseScores layers(model.parameters, uses, {.samples = n});
      NaturalGradient optimizer(model.parameters, options);
      for (int step = 0; step < 2; ++step) optimizer.step(layers.scores);

      // Dense rows of the other tensors' columns.
      std::vector<TensorShape> others;
      std::vector<std::size_t> columns;
      for (std::size_t i = 0; i < tensors.size(); ++i) {
        if (std::find(frozen.begin(), frozen.end(), i) != frozen.end()) continue;
        others.push_back(tensors[i]);
        for (std::size_t j = at[i]; j < at[i + 1]; ++j) columns.push_back(j);
      }
      Numbers theta;
      Table remaining(n, columns.size());
      for (std::size_t j = 0; j < columns.size(); ++j) {
        theta.push_back(start()[columns[j]]);
        for (std::size_t i = 0; i < n; ++i) remaining(i, j) = rows(i, columns[j]);
      }
      const ModelParameters fewer(others, theta);
      Tensor<double> memory(remaining);
      DenseScores dense(fewer.parameters);
      dense.begin(memory.view());
      NaturalGradient plain(fewer.parameters, {.damping = {.absolute = 1}, .form = form});
      for (int step = 0; step < 2; ++step) plain.step(dense);

      const Numbers after = model.numbers();
      Numbers expected = start();
      for (std::size_t j = 0; j < columns.size(); ++j) expected[columns[j]] = fewer.numbers()[j];
      EXPECT_TRUE(relative_error_within(sum(-1, start(), after), sum(-1, start(), expected),
                                        bound_of(uses)));
      for (std::size_t i : frozen) {
        for (std::size_t j = at[i]; j < at[i + 1]; ++j) EXPECT_EQ(after[j], start()[j]);
      }
    }
  }
}

}  // namespace

}  // namespace natgrad::tests
