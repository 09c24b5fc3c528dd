#include "natgrad/natgrad.hpp"
#include "support/device.hpp"
#include "support/direction_bound.hpp"
#include "support/layered_batch.hpp"
#include "support/plain.hpp"
#include "support/tolerance.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

// What must hold between two ways to the same number.

namespace natgrad::tests {

namespace {

constexpr std::array forms{Form::primal, Form::dual};

const std::vector<LayerShape> three_layers = {{.inputs = 4, .outputs = 5},
                                              {.inputs = 3, .outputs = 2, .bias = false},
                                              {.inputs = 0, .outputs = 3}};

/// Batches below, at and above as many samples as parameters, a single one, and one parameter.
std::vector<BatchShape> batch_shapes() {
  return {{.layers = three_layers, .samples = 12, .seed = 1},
          {.layers = three_layers, .samples = 34, .seed = 2},
          {.layers = three_layers, .samples = 70, .seed = 3},
          {.layers = three_layers, .samples = 1, .seed = 4},
          {.layers = {{.inputs = 1, .outputs = 1, .bias = false}}, .samples = 5, .seed = 5},
          {.layers = {{.inputs = 0, .outputs = 6}}, .samples = 9, .seed = 6},
          {.layers = three_layers, .samples = 20, .seed = 7, .padding = 3}};
}

template <class T>
Numbers gradient_of(const Scores& scores) {
  Tensor<T> gradient = zeros<T>(scores.parameters().size());
  scores.gradient(gradient.view());
  return gradient.numbers();
}

template <class T>
Numbers direction_of(FisherMatrix& fisher) {
  Tensor<T> direction = zeros<T>(fisher.size());
  fisher.solve(Coefficients{}, direction.view());
  EXPECT_EQ(fisher.report().outcome, Outcome::accepted);
  return direction.numbers();
}

template <class T>
Numbers direction_of(const Scores& scores, Form form, double damping) {
  FisherMatrix fisher(scores.parameters(), {.form = form, .damping = {.absolute = damping}});
  fisher.accumulate(scores);
  return direction_of<T>(fisher);
}

template <class T>
Numbers dense_matrix(const FisherMatrix& fisher) {
  const auto p = static_cast<std::size_t>(fisher.size());
  Tensor<T> matrix(Table(p, p));
  fisher.to_dense(matrix.view());
  return matrix.numbers();
}

template <class T>
void check_forms(const BatchShape& shape) {
  SCOPED_TRACE(testing::Message() << shape.samples << " samples, "
                                  << to_string(element_type_of<T>));
  const LayeredBatch<T> batch(shape);
  const Table S = weighted(batch.rows, batch.uniform_weights());
  const Numbers r = right_hand_side(batch.uniform_weights(), Numbers(batch.samples, 1.0));
  const double damping = 0.1 * trace(gram(S));
  const Numbers expected = damped_direction(S, damping, r);
  const double bound = direction_bound(S, element_type_of<T>, damping);
  for (Form form : forms) {
    const Numbers direction = direction_of<T>(batch.scores(), form, damping);
    EXPECT_TRUE(relative_error_within(direction, expected, bound)) << to_string(form);
  }
}

TEST(identities, dual_is_primal_is_a_dense_solve) {
  for (const BatchShape& shape : batch_shapes()) {
    check_forms<double>(shape);
    check_forms<float>(shape);
  }
}

template <class T>
void check_factored_rows(const BatchShape& shape) {
  SCOPED_TRACE(testing::Message() << shape.samples << " samples, "
                                  << to_string(element_type_of<T>));
  const ElementType type = element_type_of<T>;
  const LayeredBatch<T> batch(shape);
  const auto p = static_cast<std::int64_t>(batch.rows.columns);
  Tensor<T> rows(batch.rows, 2);
  DenseScores dense(batch.parameters);
  dense.begin(rows.view());
  const LayerScores layers = batch.scores();

  // A row formed in float has rounded the product; each side then sums N of them.
  const auto n = static_cast<std::int64_t>(batch.samples);
  const double bound = sum_bound(2 * n + 4, type, 1) * std::sqrt(static_cast<double>(n));
  EXPECT_TRUE(relative_error_within(gradient_of<T>(layers), gradient_of<T>(dense), bound));
  for (Form form : forms) {
    SCOPED_TRACE(to_string(form));
    FisherMatrix of_layers(batch.parameters, {.form = form, .damping = {.absolute = 0.5}});
    FisherMatrix of_rows(batch.parameters, {.form = form, .damping = {.absolute = 0.5}});
    of_layers.accumulate(layers);
    of_rows.accumulate(dense);
    EXPECT_TRUE(relative_error_within(dense_matrix<T>(of_layers), dense_matrix<T>(of_rows), bound));
    EXPECT_TRUE(relative_error_within(
        direction_of<T>(of_layers), direction_of<T>(of_rows),
        direction_bound(weighted(batch.rows, batch.uniform_weights()), type, 0.5)));
    EXPECT_TRUE(
        within(of_layers.trace(), of_rows.trace(), sum_bound(n * p, type, of_rows.trace())));
  }
}

TEST(identities, factored_rows_are_the_rows_formed) {
  for (const BatchShape& shape : batch_shapes()) {
    check_factored_rows<double>(shape);
    check_factored_rows<float>(shape);
  }
}

TEST(identities, a_weight_is_a_number_of_repetitions) {
  Random random(3);
  Table distinct = random.table(3, 7);
  const std::vector<std::size_t> repetitions = {2, 1, 3};
  Table repeated(0, 7);
  for (std::size_t n = 0; n < 3; ++n) {
    for (std::size_t k = 0; k < repetitions[n]; ++k) {
      const Table row = row_range(distinct, n, 1);
      repeated.elements.insert(repeated.elements.end(), row.elements.begin(), row.elements.end());
      ++repeated.rows;
    }
  }
  Tensor<double> theta(random.numbers(7));
  Parameters parameters(test_context());
  parameters.add(theta.view());
  Tensor<double> few(distinct);
  Tensor<double> many(repeated);
  Tensor<double> weights(Numbers{2.0 / 6, 1.0 / 6, 3.0 / 6});
  DenseScores weighted_scores(parameters);
  weighted_scores.begin(few.view(), {.weights = weights.view()});
  DenseScores repeated_scores(parameters);
  repeated_scores.begin(many.view());

  const double bound =
      direction_bound(weighted(repeated, Numbers(6, 1.0 / 6)), ElementType::float64, 0.2);
  EXPECT_TRUE(relative_error_within(gradient_of<double>(weighted_scores),
                                    gradient_of<double>(repeated_scores), bound));
  for (Form form : forms) {
    EXPECT_TRUE(relative_error_within(direction_of<double>(weighted_scores, form, 0.2),
                                      direction_of<double>(repeated_scores, form, 0.2), bound))
        << to_string(form);
  }
}

template <class T>
void check_chunks() {
  const ElementType type = element_type_of<T>;
  Random random(5);
  const LayeredBatch<T> batch({.layers = three_layers, .samples = 40, .seed = 11});
  Tensor<T> coefficients(random.numbers(40));
  const Table S = weighted(batch.rows, batch.uniform_weights());
  for (Form form : forms) {
    SCOPED_TRACE(to_string(form));
    const FisherMatrix::Options options{.form = form, .damping = {.absolute = 0.3}, .samples = 40};
    FisherMatrix whole(batch.parameters, options);
    whole.accumulate(batch.scores({.coefficients = coefficients.view()}));
    FisherMatrix chunked(batch.parameters, options);
    LayerScores scores(batch.parameters);
    std::int64_t first = 0;
    for (std::int64_t count : {1, 16, 3, 20}) {
      batch.fill(scores,
                 {.samples = count,
                  .batch_samples = 40,
                  .coefficients = coefficients.view().row_range(first, count)},
                 first);
      chunked.accumulate(scores);
      first += count;
    }
    EXPECT_EQ(chunked.samples(), 40);
    EXPECT_TRUE(relative_error_within(dense_matrix<T>(chunked), dense_matrix<T>(whole),
                                      sum_bound(80, type, 1)));
    EXPECT_TRUE(relative_error_within(direction_of<T>(chunked), direction_of<T>(whole),
                                      direction_bound(S, type, 0.3)));
  }
}

TEST(identities, batches_add_up_to_the_whole) {
  check_chunks<double>();
  check_chunks<float>();
}

TEST(identities, rows_formed_a_few_at_a_time_are_the_whole) {
  const LayeredBatch<float> batch({.layers = three_layers, .samples = 40, .seed = 12});
  const LayerScores scores = batch.scores();
  FisherMatrix whole(batch.parameters, {.form = Form::primal});
  FisherMatrix tiled(batch.parameters, {.form = Form::primal, .tile_rows = 7});
  whole.accumulate(scores);
  tiled.accumulate(scores);
  EXPECT_TRUE(relative_error_within(dense_matrix<double>(tiled), dense_matrix<double>(whole),
                                    sum_bound(80, ElementType::float64, 1)));
}

TEST(identities, the_gradient_of_a_mean_loss_with_scale_is_the_scores) {
  constexpr std::size_t n = 10;
  const BatchShape shape{.layers = three_layers, .samples = n, .seed = 13};
  const LayeredBatch<double> batch(shape);
  const LayeredBatch<double> loss(shape);
  std::vector<Tensor<double>> loss_gradients;
  loss_gradients.reserve(loss.layers.size());
  LayerScores scaled(batch.parameters);
  scaled.begin({.samples = n, .scale = -static_cast<double>(n)});
  for (LayerScores::Layer layer : batch.layers) {
    Table values(n, static_cast<std::size_t>(layer.output_score.columns()));
    values.elements = host_copy<double>(batch.parameters.context(), layer.output_score);
    for (double& value : values.elements) value /= -static_cast<double>(n);
    loss_gradients.emplace_back(values);
    layer.output_score = loss_gradients.back().view();
    scaled.add(layer);
  }
  const LayerScores scores = batch.scores();
  // One rounding of the division, one of the scale, and the sum over n.
  const double bound = sum_bound(2 * n, ElementType::float64, std::sqrt(n));
  EXPECT_TRUE(
      relative_error_within(gradient_of<double>(scaled), gradient_of<double>(scores), bound));
  const Table S = weighted(batch.rows, batch.uniform_weights());
  for (Form form : forms) {
    EXPECT_TRUE(relative_error_within(direction_of<double>(scaled, form, 0.2),
                                      direction_of<double>(scores, form, 0.2),
                                      direction_bound(S, ElementType::float64, 0.2)));
  }
}

TEST(identities, parameters_without_rows_do_not_move) {
  for (Form form : forms) {
    LayeredBatch<float> batch({.layers = {{.inputs = 3, .outputs = 2},
                                          {.inputs = 4, .outputs = 3, .covered = false},
                                          {.inputs = 0, .outputs = 2},
                                          {.inputs = 0, .outputs = 2, .covered = false}},
                               .samples = 6});
    const Numbers direction = direction_of<float>(batch.scores(), form, 0.1);
    const auto first = static_cast<std::size_t>(batch.parameters.offset({2}));
    for (std::size_t i = first; i < first + 15; ++i) EXPECT_EQ(direction[i], 0) << i;
    EXPECT_EQ(direction[direction.size() - 1], 0);
    EXPECT_EQ(direction[direction.size() - 2], 0);
    EXPECT_NE(direction[0], 0);

    const auto before = batch.theta_memory();
    NaturalGradient optimizer(batch.parameters, {.momentum = Spring{}, .form = form});
    const LayerScores scores = batch.scores();
    for (int step = 0; step < 3; ++step) optimizer.step(scores);
    const auto after = batch.theta_memory();
    for (std::size_t segment : {2, 3, 5}) EXPECT_TRUE(same_bits(after[segment], before[segment]));
    for (std::size_t segment : {0, 1, 4}) EXPECT_FALSE(same_bits(after[segment], before[segment]));
  }
}

TEST(identities, a_check_finds_the_factor_and_what_no_row_touches) {
  constexpr std::size_t n = 8;
  const LayeredBatch<double> batch(
      {.layers = {{.inputs = 3, .outputs = 2},
                  {.inputs = 2, .outputs = 2, .bias = false, .covered = false}},
       .samples = n});
  const LayerScores scores = batch.scores();
  const Numbers own = gradient_of<double>(scores);
  struct Case {
    double multiple;
    const char* text;
  };
  for (const Case& c :
       {Case{1, "agree"}, Case{-1, ": -1, which is right where yours is the gradient of a loss"},
        Case{n, "1/N"}, Case{-1.0 * n, "-1/N"}, Case{1.0 / n, ": N: "}, Case{-1.0 / n, "-N"},
        Case{2, "1/2"}}) {
    Tensor<double> gradient(sum(c.multiple - 1, own, own));
    const ScoresCheck check = scores.check(gradient.view());
    EXPECT_TRUE(within(check.factor, 1 / c.multiple, rounding_bound(100, ElementType::float64, n)));
    EXPECT_TRUE(within(check.distance, std::abs(c.multiple - 1),
                       rounding_bound(100, ElementType::float64, n)));
    EXPECT_TRUE(check.distance_scaled <= rounding_bound(100, ElementType::float64, 1));
    EXPECT_NE(check.text.find(c.text), std::string::npos) << check.text;
    EXPECT_EQ(check.uncovered, std::vector<std::string>{"segment 2"});
    EXPECT_NE(check.text.find("segment 2"), std::string::npos) << check.text;
  }
  Numbers other = own;
  other[0] += 1;
  Tensor<double> wrong(other);
  EXPECT_NE(scores.check(wrong.view()).text.find("differ"), std::string::npos);

  // One view a segment says the same.
  Tensor<double> whole(own);
  std::vector<ConstView> parts;
  for (int i = 0; i < batch.parameters.segments(); ++i) {
    parts.push_back(batch.parameters.part({i}, ConstView(whole.view())));
  }
  EXPECT_EQ(scores.check(parts).distance, 0);
}

}  // namespace

}  // namespace natgrad::tests
