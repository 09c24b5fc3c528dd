#include "natgrad/natgrad.hpp"
#include "support/device.hpp"
#include "support/layered_batch.hpp"
#include "support/loop.hpp"
#include "support/plain.hpp"
#include "support/sanitized.hpp"
#include "support/tolerance.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <string>
#include <vector>

// Embeddings by the indices of their rows, against one-hot factors of the same weight.

namespace natgrad::tests {

namespace {

constexpr std::int64_t words = 7;
constexpr std::int64_t width = 3;

struct Shape {
  std::int64_t terms = 1;
  std::int64_t rows_per_input = 1;
  bool decoder = false;  // the weight is a dense layer's, too
  bool twice = false;    // and looked up in once more
  bool apart = false;    // each of the two for one half of the rows
  bool weighted = false;
};

/// One set of rows of an embedding, a layer behind it and perhaps a decoder, with the embedding by
/// indices or one-hot.
template <class T>
class Embedding {
 public:
  Embedding(const Shape& shape, bool by_indices, std::int64_t samples = 12)
      : shape_(shape), by_indices_(by_indices), samples_(samples), parameters(test_context()) {
    Random random(3);
    theta_.emplace_back(random.table(words, width), 2);
    theta_.emplace_back(random.table(2, width));
    theta_.emplace_back(random.numbers(2));
    embedding_ = parameters.add(theta_[0].view(), "embedding");
    weight_ = parameters.add(theta_[1].view());
    bias_ = parameters.add(theta_[2].view());
    weights_ = Tensor<T>([&] {
      Numbers numbers = random.numbers(static_cast<std::size_t>(samples));
      for (double& number : numbers) number = std::abs(number) / static_cast<double>(samples);
      numbers[2] = 0;
      return numbers;
    }());
    for (int use = 0; use < (shape.twice ? 2 : 1); ++use) add_lookup(random);
    input_ = Tensor<T>(random.table(size(samples), width));
    output_ = Tensor<T>(random.table(size(samples), 2));
    hidden_ = Tensor<T>(random.table(size(samples * shape.terms), width), 1);
    logits_ = Tensor<T>(random.table(size(samples * shape.terms), words));
  }

  /// Begins with rows [first, first + count) of all.
  LayerScores& fill(std::int64_t first, std::int64_t count) {
    RowSet set{.samples = count, .batch_samples = samples_};
    if (shape_.weighted) set.weights = weights_.view().row_range(first, count);
    scores.begin(set);
    for (std::size_t use = 0; use < uses_.size(); ++use) {
      const std::int64_t from = shape_.apart && use == 1 ? count / 2 : 0;
      const std::int64_t rows = shape_.apart ? count / 2 : count;
      scores.add(lookup(uses_[use], first + from, from, rows));
    }
    scores.add({.weight = weight_,
                .bias = bias_,
                .input = input_.view().row_range(first, count),
                .output_score = output_.view().row_range(first, count)});
    if (shape_.decoder) {
      const std::int64_t terms = shape_.terms;
      scores.add({.weight = embedding_,
                  .input = hidden_.view().row_range(first * terms, count * terms),
                  .output_score = logits_.view().row_range(first * terms, count * terms),
                  .terms = terms});
    }
    return scores;
  }
  LayerScores& fill() { return fill(0, samples_); }

  SharedVector<std::int32_t>& indices(std::size_t use = 0) { return uses_[use].indices; }

 private:
  struct Use {
    SharedVector<std::int32_t> indices;  // (rows / R T), every second one
    Tensor<T> score;                     // (rows T, width)
    Tensor<T> one_hot;                   // (rows T, words)
  };
  static std::size_t size(std::int64_t count) { return static_cast<std::size_t>(count); }

  void add_lookup(Random& random) {
    const std::int64_t terms = shape_.terms;
    const std::int64_t rows = samples_;
    Use use;
    use.indices.assign(size(2 * rows / shape_.rows_per_input * terms), -1);
    for (std::size_t i = 0; i < use.indices.size(); i += 2) {
      // Many of one word, some of all.
      const double number = std::abs(random());
      use.indices[i] = number < 0.4 ? 1 : static_cast<std::int32_t>(number * words);
    }
    use.score = Tensor<T>(random.table(size(rows * terms), width), 1);
    Table one_hot(size(rows * terms), words);
    for (std::int64_t n = 0; n < rows; ++n) {
      for (std::int64_t t = 0; t < terms; ++t) {
        const std::size_t at = size(2 * (n / shape_.rows_per_input * terms + t));
        one_hot(size(n * terms + t), static_cast<std::size_t>(use.indices[at])) = 1;
      }
    }
    use.one_hot = Tensor<T>(one_hot);
    uses_.push_back(std::move(use));
  }

  /// Rows from `first` of all, as rows from `to` of the set.
  LayerScores::Layer lookup(Use& use, std::int64_t first, std::int64_t to, std::int64_t count) {
    const std::int64_t terms = shape_.terms;
    const std::int64_t shared = shape_.rows_per_input;
    LayerScores::Layer layer{
        .weight = embedding_, .terms = terms, .rows = {.first = to, .count = count}};
    const View score = use.score.view().row_range(first * terms, count * terms);
    if (by_indices_) {
      const View all(use.indices.data(), {samples_ / shared * terms, 1},
                     {.leading_dimension = 2, .device = test_device()});
      layer.input = all.row_range(first / shared * terms, count / shared * terms);
      layer.output_score = score;
      layer.rows_per_input = shared;
    } else {
      layer.input = score;
      layer.output_score = use.one_hot.view().row_range(first * terms, count * terms);
    }
    return layer;
  }

  Shape shape_;
  bool by_indices_;
  std::int64_t samples_;
  std::deque<Tensor<T>> theta_;
  std::deque<Use> uses_;
  Tensor<T> weights_, input_, output_, hidden_, logits_;
  Segment embedding_, weight_, bias_;

 public:
  Parameters parameters;
  LayerScores scores{parameters};
};

std::vector<Shape> shapes() {
  return {{},
          {.terms = 5},
          {.terms = 5, .weighted = true},
          {.terms = 70},
          {.terms = 3, .rows_per_input = 2},
          {.terms = 1, .rows_per_input = 3, .weighted = true},
          {.terms = 4, .decoder = true},
          {.terms = 4, .twice = true},
          {.terms = 4, .twice = true, .apart = true},
          {.terms = 2, .decoder = true, .twice = true, .weighted = true}};
}

void for_each_shape(const std::function<void(const Shape&)>& body) {
  for (const Shape& shape : shapes()) {
    SCOPED_TRACE(testing::Message()
                 << shape.terms << " terms, " << shape.rows_per_input << " rows an input"
                 << (shape.decoder ? ", decoder" : "") << (shape.twice ? ", twice" : "")
                 << (shape.weighted ? ", weighted" : ""));
    body(shape);
  }
}

template <class T>
std::vector<Numbers> products(Embedding<T>& of, Form form, Structure structure) {
  FisherMatrix matrix(of.parameters,
                      {.structure = structure, .form = form, .damping = {.absolute = 0.1}});
  matrix.accumulate(of.fill());
  const std::int64_t size = of.parameters.size();
  Tensor<T> v(Random(9).numbers(static_cast<std::size_t>(size)));
  Tensor<T> product = zeros<T>(size);
  Tensor<T> diagonal = zeros<T>(size);
  Tensor<T> direction = zeros<T>(size);
  Tensor<T> gradient = zeros<T>(size);
  matrix.apply(v.view(), product.view());
  matrix.diagonal(diagonal.view());
  matrix.solve(Coefficients{}, direction.view());
  of.scores.gradient(gradient.view());
  EXPECT_EQ(matrix.report().outcome, Outcome::accepted);
  return {product.numbers(), diagonal.numbers(), direction.numbers(), gradient.numbers()};
}

template <class T>
void compare(double tolerance) {
  for_each_shape([&](const Shape& shape) {
    Embedding<T> indexed(shape, true);
    Embedding<T> one_hot(shape, false);
    for (const Structure structure :
         {Structure::full, Structure::block_diagonal, Structure::diagonal}) {
      for (const Form form : {Form::primal, Form::dual}) {
        if (structure == Structure::diagonal && form == Form::dual) continue;
        const auto actual = products(indexed, form, structure);
        const auto expected = products(one_hot, form, structure);
        for (std::size_t i = 0; i < actual.size(); ++i) {
          EXPECT_TRUE(relative_error_within(actual[i], expected[i], tolerance))
              << "number " << i << ", " << to_string(structure) << ", " << to_string(form);
        }
      }
    }
  });
}

TEST(lookup, is_a_one_hot_factor_in_double) { compare<double>(1e-12); }
TEST(lookup, is_a_one_hot_factor_in_float) { compare<float>(2e-4); }

/// Steps in one call and in parts, in every form and unit of the damping.
TEST(lookup, takes_the_steps_of_a_one_hot_factor) {
  for_each_shape([&](const Shape& shape) {
    for (const Form form : {Form::primal, Form::dual}) {
      for (const DampingScaling scaling : {DampingScaling::identity, DampingScaling::tensor}) {
        const NaturalGradient::Options options{.damping = {.absolute = 0.2, .scaling = scaling},
                                               .form = form};
        Embedding<double> indexed(shape, true);
        Embedding<double> one_hot(shape, false);
        NaturalGradient by_indices(indexed.parameters, options);
        NaturalGradient by_factors(one_hot.parameters, options);
        Tensor<double> actual = zeros<double>(indexed.parameters.size());
        Tensor<double> expected = zeros<double>(indexed.parameters.size());
        by_indices.step(indexed.fill());
        by_factors.step(one_hot.fill());
        for (const std::int64_t first : {0, 6}) {
          by_indices.accumulate(indexed.fill(first, 6));
          by_factors.accumulate(one_hot.fill(first, 6));
        }
        by_indices.propose(actual.view());
        by_factors.propose(expected.view());
        EXPECT_EQ(by_indices.report().outcome, Outcome::accepted);
        EXPECT_TRUE(relative_error_within(actual.numbers(), expected.numbers(), same));
      }
    }
  });
}

TEST(lookup, gives_the_same_bits_again) {
  Embedding<float> embedding({.terms = 40}, true);
  FisherMatrix matrix(embedding.parameters, {.form = Form::dual, .damping = {.absolute = 0.1}});
  std::vector<std::vector<float>> found;
  for (int i = 0; i < 3; ++i) {
    matrix.reset();
    matrix.accumulate(embedding.fill());
    Tensor<float> direction = zeros<float>(embedding.parameters.size());
    matrix.solve(Coefficients{}, direction.view());
    found.push_back(direction.memory());
  }
  EXPECT_TRUE(same_bits(found[0], found[1]));
  EXPECT_TRUE(same_bits(found[0], found[2]));
}

/// Nothing is read outside: the emulated device and AddressSanitizer would see it.
TEST(lookup, of_an_index_outside_is_not_finite_and_moves_nothing) {
  for (const Form form : {Form::primal, Form::dual}) {
    for (const Structure structure : {Structure::full, Structure::diagonal}) {
      if (structure == Structure::diagonal && form == Form::dual) continue;
      for (const std::int32_t bad : {-1, 7, 2147483647, -2147483647}) {
        for (const bool decoder : {false, true}) {
          Embedding<double> embedding({.terms = 3, .decoder = decoder}, true);
          NaturalGradient optimizer(
              embedding.parameters,
              {.damping = {.absolute = 0.1},
               .structure = structure,
               .form = structure == Structure::full ? form : Form::automatic});
          const Array before = embedding.parameters.context().array(
              {embedding.parameters.size(), 1}, ElementType::float64);
          embedding.parameters.gather(before);
          const auto start = host_copy<double>(embedding.parameters.context(), before);
          synchronize_device();
          const std::int32_t good = embedding.indices()[2 * 17];
          embedding.indices()[2 * 17] = bad;
          optimizer.step(embedding.fill());
          EXPECT_EQ(optimizer.report().outcome, Outcome::not_finite) << bad;
          embedding.parameters.gather(before);
          EXPECT_EQ(host_copy<double>(embedding.parameters.context(), before), start);
          Tensor<double> gradient(Numbers(static_cast<std::size_t>(embedding.parameters.size())));
          const ScoresCheck check = embedding.fill().check(gradient.view());
          EXPECT_NE(
              check.text.find("embedding: .input is " + std::to_string(bad) + " at row 5 (term 2)"),
              std::string::npos)
              << check.text;
          embedding.indices()[2 * 17] = good;
          optimizer.step(embedding.fill());
          EXPECT_EQ(optimizer.report().outcome, Outcome::accepted);
        }
      }
    }
  }
}

TEST(lookup, of_a_row_of_weight_0_may_hold_any_index) {
  for (const Form form : {Form::primal, Form::dual}) {
    Embedding<double> clean({.terms = 3, .weighted = true}, true);
    Embedding<double> bad({.terms = 3, .weighted = true}, true);
    for (int t = 0; t < 3; ++t) bad.indices()[static_cast<std::size_t>(2 * (2 * 3 + t))] = -5;
    Tensor<double> expected = zeros<double>(clean.parameters.size());
    Tensor<double> actual = zeros<double>(clean.parameters.size());
    const NaturalGradient::Options options{.damping = {.absolute = 0.1}, .form = form};
    NaturalGradient first(clean.parameters, options);
    NaturalGradient second(bad.parameters, options);
    first.direction(clean.fill(), expected.view());
    second.direction(bad.fill(), actual.view());
    EXPECT_EQ(second.direction_report().outcome, Outcome::accepted);
    EXPECT_EQ(actual.numbers(), expected.numbers());
  }
}

TEST(lookup, that_does_not_fit_is_refused) {
  Embedding<float> embedding({.terms = 2}, true);
  embedding.fill();
  SharedVector<std::int32_t> indices(24, 1);
  Tensor<float> score{Table(24, width)};
  Tensor<float> narrow{Table(24, 2)};
  const auto view = [&](std::int64_t rows, std::int64_t columns) {
    return shared_view(indices, {rows, columns});
  };
  const LayerScores::Layer good{
      .weight = {0}, .input = view(24, 1), .output_score = score.view(), .terms = 2};
  LayerScores::Layer layer = good;
  layer.bias = {2};
  EXPECT_THROW(embedding.scores.add(layer), ArgumentError);
  layer = good;
  layer.input = view(12, 1);
  EXPECT_THROW(embedding.scores.add(layer), ShapeError);
  layer.input = view(12, 2);
  EXPECT_THROW(embedding.scores.add(layer), ShapeError);
  layer = good;
  layer.output_score = narrow.view();
  EXPECT_THROW(embedding.scores.add(layer), ShapeError);
  layer = good;
  layer.output_score = view(12, 1);
  EXPECT_THROW(embedding.scores.add(layer), TypeError);
  embedding.scores.add(good);
}

/// 64 rows of 128 tokens of 32,000 words: what a step takes beside parameters, as planned and held.
TEST(lookup, takes_little_memory) {
  constexpr std::int64_t vocabulary = sanitized ? 3200 : 32000;
  constexpr std::int64_t tokens = 64 * 128;
  constexpr std::int64_t columns = 128;
  Parameters parameters(test_context());
  SharedVector<float> theta(static_cast<std::size_t>(vocabulary * columns), 0.5F);
  const Segment weight = parameters.add(shared_view(theta, {vocabulary, columns}));
  NaturalGradient optimizer(parameters, {.damping = {.absolute = 0.1}});
  const MemoryPlan plan = optimizer.plan(
      {.samples = 64,
       .layers = {{.inputs = vocabulary, .outputs = columns, .terms = 128, .lookup = true}}});
  EXPECT_EQ(plan.form, Form::dual);
  EXPECT_LT(plan.bytes + tokens * (columns * 4 + 4), 200'000'000) << plan.text();
  SharedVector<std::int32_t> indices(tokens);
  SharedVector<float> score(static_cast<std::size_t>(tokens * columns));
  Random random(1);
  for (std::int32_t& index : indices) {
    index = static_cast<std::int32_t>(std::abs(random()) * static_cast<double>(vocabulary));
  }
  for (float& number : score) number = static_cast<float>(random());
  LayerScores scores(parameters);
  scores.begin({.samples = 64});
  scores.add({.weight = weight,
              .input = shared_view(indices, {tokens, 1}),
              .output_score = shared_view(score, {tokens, columns}),
              .terms = 128});
  const MemoryPlan of_batch = optimizer.plan(Batch{.fisher = scores});
  EXPECT_EQ(of_batch.bytes, plan.bytes);
  EXPECT_TRUE(of_batch.shape.layers.front().lookup);
  optimizer.step(scores);
  EXPECT_EQ(optimizer.report().outcome, Outcome::accepted);
}

}  // namespace

}  // namespace natgrad::tests
