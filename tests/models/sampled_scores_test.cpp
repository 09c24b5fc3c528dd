#include "backend/backend.hpp"
#include "core/context_state.hpp"
#include "kernels/formulas/likelihoods/table.hpp"
#include "natgrad/natgrad.hpp"
#include "support/device.hpp"
#include "support/layered_batch.hpp"
#include "support/plain.hpp"
#include "support/softmax_net.hpp"
#include "support/tolerance.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

// Labels drawn from the model, and what the theory says of the scores at them.

namespace natgrad::tests {

namespace {

constexpr std::array activations{Activation::identity, Activation::tanh, Activation::relu,
                                 Activation::sigmoid, Activation::gelu};

Labels drawn(const FullyConnected& net) {
  const auto labels = host_copy<std::int32_t>(net.parameters().context(), net.sampled_targets());
  return {labels.begin(), labels.end()};
}

Labels draw(const ConstView& z, std::uint64_t key, std::int64_t draws, double counter = 0) {
  Labels labels(static_cast<std::size_t>(z.rows() * draws));
  Tensor<double> at(Numbers{counter});
  const Context context = test_context();
  context.state().backend().likelihood_sample({}, z, key, draws, at.view(), view_of(labels));
  context.synchronize();
  return labels;
}

Numbers gradient_of(const Scores& scores) {
  Tensor<double> gradient = zeros<double>(scores.parameters().size());
  scores.gradient(gradient.view());
  return gradient.numbers();
}

/// Pearson's chi-square of counts against probabilities that sum to 1.
double chi_square(const Numbers& counts, const Numbers& p, double total) {
  double sum = 0;
  for (std::size_t i = 0; i < counts.size(); ++i) {
    sum += (counts[i] - total * p[i]) * (counts[i] - total * p[i]) / (total * p[i]);
  }
  return sum;
}

TEST(sampled_labels, have_the_probabilities_of_the_softmax) {
  constexpr int draws = 200000;
  SharedVector<double> z = {0, 1, -2, 0.5, 3, -1, 2, 0, -0.5, 1.5};
  Numbers p;
  for (double output : z) p.push_back(std::exp(output));
  double total = 0;
  for (double weight : p) total += weight;
  for (double& weight : p) weight /= total;
  for (std::uint64_t key : {1, 2, 3}) {
    Numbers counts(p.size(), 0.0);
    for (std::int32_t label : draw(shared_view(z, {1, 10}), key, draws)) ++counts.at(label);
    // 9 degrees of freedom: above 40 once in 100,000 keys.
    EXPECT_LE(chi_square(counts, p, draws), 40) << key;
  }
}

/// Neighbours, the draws of one row, and drawings one after another are independent: pairs of
/// classes are as frequent as their probabilities' products say.
TEST(sampled_labels, of_different_places_are_independent) {
  constexpr std::int64_t rows = 40000;
  SharedVector<double> z;
  for (std::int64_t n = 0; n < rows; ++n) z.insert(z.end(), {0, 1, -1});
  const double total = std::exp(0.0) + std::exp(1.0) + std::exp(-1.0);
  const std::array p{std::exp(0.0) / total, std::exp(1.0) / total, std::exp(-1.0) / total};
  const ConstView view = shared_view(z, {rows, 3});
  const Labels two = draw(view, 5, 2);
  const Labels first = draw(view, 5, 1, 0);
  const Labels next = draw(view, 5, 1, 1);
  const Labels other_key = draw(view, 6, 1, 0);
  const auto check = [&](const char* what, const auto& pair_of, std::int64_t pairs) {
    Numbers counts(9, 0.0);
    Numbers products;
    for (double a : p) {
      for (double b : p) products.push_back(a * b);
    }
    for (std::int64_t i = 0; i < pairs; ++i) {
      const auto [a, b] = pair_of(static_cast<std::size_t>(i));
      ++counts.at(3 * a + b);
    }
    EXPECT_LE(chi_square(counts, products, static_cast<double>(pairs)), 40) << what;
  };
  using Pair = std::pair<std::int32_t, std::int32_t>;
  check(
      "draws of a row", [&](auto i) { return Pair(two[2 * i], two[2 * i + 1]); }, rows);
  check(
      "rows", [&](auto i) { return Pair(first[2 * i], first[2 * i + 1]); }, rows / 2);
  check(
      "drawings", [&](auto i) { return Pair(first[i], next[i]); }, rows);
  check(
      "keys", [&](auto i) { return Pair(first[i], other_key[i]); }, rows);
}

TEST(sampled_labels, are_picked_by_the_inverse_of_the_distribution) {
  const std::array<double, 5> weights{0, 2, 0, 6, 0};
  const auto pick = [&](double threshold) {
    const formulas::OneLane lane;
    return formulas::Categorical::pick_class(lane, {lane, 5}, 0, threshold, 5,
                                             [&](std::int64_t c) { return weights.at(c); });
  };
  EXPECT_EQ(pick(0), 1);
  EXPECT_EQ(pick(std::nextafter(2.0, 0)), 1);
  EXPECT_EQ(pick(2), 3);
  EXPECT_EQ(pick(std::nextafter(8.0, 0)), 3);
  // Rounding has made the total larger than the sum: still no class of weight 0.
  EXPECT_EQ(pick(8.001), 3);
}

TEST(sampled_labels, follow_from_key_and_counter) {
  SoftmaxNet a({4, 6, 5}, 50);
  SoftmaxNet b({4, 6, 5}, 50);
  SoftmaxNet other({4, 6, 5}, 50, Activation::tanh, 4);
  EXPECT_EQ(a.net.draw_counter(), 0);
  for (std::int64_t draws : {1, 3}) {
    a.net.sample(draws);
    b.net.sample(draws);
    other.net.sample(draws);
    EXPECT_EQ(drawn(a.net).size(), 50 * draws);
    EXPECT_EQ(drawn(a.net), drawn(b.net));
    EXPECT_NE(drawn(a.net), drawn(other.net));
  }
  const Labels last = drawn(a.net);
  EXPECT_EQ(a.net.draw_counter(), 2);
  a.net.sample(3);
  EXPECT_NE(drawn(a.net), last);
  a.net.set_draw_counter(1);
  a.net.sample(3);
  EXPECT_EQ(drawn(a.net), last);
  EXPECT_EQ(a.net.draw_counter(), 2);
  // The key is that of the weights unless another is given.
  FullyConnected seeded(test_context(), {.sizes = {4, 5}, .seed = 9});
  FullyConnected keyed(test_context(), {.sizes = {4, 5}, .seed = 9, .sampling_key = 9});
  Tensor<float> inputs(Random(1).table(50, 4));
  for (FullyConnected* net : {&seeded, &keyed}) {
    net->forward(inputs.view());
    net->sample();
  }
  EXPECT_EQ(drawn(seeded), drawn(keyed));
}

/// Rows n draws + k are those that `backward` makes at these labels, and share the inputs.
TEST(sampled_scores, are_the_scores_at_the_labels_drawn) {
  for (Activation activation : activations) {
    for (std::int64_t draws : {1, 3}) {
      SCOPED_TRACE(testing::Message() << to_string(activation) << ", " << draws << " draws");
      SoftmaxNet model({4, 6, 3, 5}, 11, activation);
      const Numbers data = gradient_of(model.data());
      model.net.sample(draws);
      Tensor<double> all(Random(5).numbers(11 * draws));
      LayerScores sampled(model.net.parameters(), {.kind = FisherKind::sampled});
      model.net.add_sampled_to(sampled, {.samples = 11 * draws, .coefficients = all.view()});
      const Numbers actual = gradient_of(sampled);
      EXPECT_EQ(gradient_of(model.data()), data) << "sampling touched the data's scores";

      const Labels labels = drawn(model.net);
      Numbers expected(model.size(), 0.0);
      for (std::int64_t k = 0; k < draws; ++k) {
        Labels own;
        Numbers coefficients;
        for (std::int64_t n = 0; n < 11; ++n) {
          own.push_back(labels[n * draws + k]);
          coefficients.push_back(all(n * draws + k));
        }
        Tensor<double> c(coefficients);
        model.net.backward(view_of(own));
        LayerScores scores(model.net.parameters());
        model.net.add_to(scores,
                         {.samples = 11, .batch_samples = 11 * draws, .coefficients = c.view()});
        expected = sum(1, gradient_of(scores), expected);
      }
      // |s| is of order 1 to 10, and the sum over rows cancels.
      EXPECT_TRUE(
          relative_error_within(actual, expected, sum_bound(100, ElementType::float64, 10)));
    }
  }
}

/// Row 1 of the table in docs/architecture.md: E[s] = 0, for every input by itself.
TEST(sampled_scores, have_mean_zero) {
  constexpr std::int64_t draws = 2000;
  SoftmaxNet model({3, 4, 3}, 10);
  const LayerScores scores = model.sampled(draws);
  // Their mean is no gradient of the data: with coefficients of 1 it is asked for as such.
  Tensor<double> ones(Numbers(10 * draws, 1.0));
  LayerScores counted(model.net.parameters(), {.kind = FisherKind::sampled});
  model.net.add_sampled_to(counted, {.samples = 10 * draws, .coefficients = ones.view()});
  const Numbers mean = gradient_of(counted);
  const Table F = fisher_of(scores);
  double squares = 0;
  for (std::size_t i = 0; i < mean.size(); ++i) {
    const double deviation = std::sqrt(F(i, i) / (10 * draws));
    EXPECT_TRUE(within(mean[i], 0, 5 * deviation)) << i;
    squares += mean[i] * mean[i] / (deviation * deviation);
  }
  // Not much less than chance has it, either.
  EXPECT_GT(squares / static_cast<double>(mean.size()), 0.1);
}

double distance(const Table& a, const Table& b) { return relative_error(a.elements, b.elements); }

/// Row 2: F = E[s s^T], and the error of the mean over k draws falls as 1 / sqrt(k).
TEST(sampled_scores, make_the_fisher_matrix) {
  SoftmaxNet model({3, 4, 3}, 10);
  const Table exact = fisher_of(ExactRows(model).scores());
  const double few = distance(fisher_of(model.sampled(10)), exact);
  const double many = distance(fisher_of(model.sampled(4000)), exact);
  EXPECT_LE(many, 0.03);
  EXPECT_LE(many, few / 8);  // sqrt(400) = 20 in the mean
  EXPECT_GT(distance(fisher_of(model.data()), exact), 0.2) << "the empirical matrix is another";
}

TEST(sampled_scores, of_outputs_that_are_not_finite_fail_the_step) {
  SoftmaxNet model({3, 4, 3}, 10);
  const LayerScores data = model.data();
  NaturalGradient optimizer(model.net.parameters());
  optimizer.step({.fisher = model.sampled(2), .gradient = data});
  EXPECT_EQ(optimizer.report().outcome, Outcome::accepted);
  const Numbers theta = model.theta();
  model.inputs(4, 1) = std::numeric_limits<double>::quiet_NaN();
  model.net.forward(model.inputs.view());
  model.net.sample(2);
  const Labels labels = drawn(model.net);
  for (int i = 0; i < 20; ++i) EXPECT_EQ(labels[i] == -1, i / 2 == 4) << i;
  model.inputs(4, 1) = 0;  // as if only the labels had suffered
  LayerScores sampled(model.net.parameters(), {.kind = FisherKind::sampled});
  model.net.add_sampled_to(sampled, {.samples = 20});
  Tensor<double> gradient = zeros<double>(model.net.parameters().size());
  optimizer.step({.fisher = sampled, .gradient = Gradient{gradient.view()}});
  EXPECT_EQ(optimizer.report().outcome, Outcome::not_finite);
  EXPECT_EQ(model.theta(), theta);
}

TEST(sampled_scores, refuse_what_is_out_of_order) {
  SoftmaxNet model({3, 4, 3}, 10);
  LayerScores scores(model.net.parameters(), {.kind = FisherKind::sampled});
  EXPECT_THROW(model.net.sampled_targets(), ArgumentError);
  EXPECT_THROW(model.net.add_sampled_to(scores, {.samples = 10}), ArgumentError);
  EXPECT_THROW(model.net.sample(0), OptionError);
  EXPECT_THROW(model.net.sample(std::numeric_limits<std::int64_t>::max()), OptionError);
  EXPECT_THROW(model.net.set_draw_counter(-1), OptionError);
  EXPECT_EQ(model.net.draw_counter(), 0);
  model.net.sample(2);
  EXPECT_THROW(model.net.add_sampled_to(scores, {.samples = 10}), ShapeError);
  LayerScores empirical(model.net.parameters());
  EXPECT_THROW(model.net.add_sampled_to(empirical, {.samples = 20}), ArgumentError);
  SoftmaxNet other({3, 4, 3}, 10);
  LayerScores others(other.net.parameters(), {.kind = FisherKind::sampled});
  EXPECT_THROW(model.net.add_sampled_to(others, {.samples = 20}), ArgumentError);
  EXPECT_EQ(scores.samples(), 0);
  model.net.add_sampled_to(scores, {.samples = 20});
  EXPECT_EQ(scores.samples(), 20);

  NaturalGradient optimizer(model.net.parameters());
  EXPECT_THROW(optimizer.step(scores), ArgumentError) << "their mean is no gradient";
  model.net.forward(model.inputs.view());
  EXPECT_THROW(model.net.add_sampled_to(scores, {.samples = 20}), ArgumentError);
  FullyConnected fresh(test_context(), {.sizes = {3, 2}});
  EXPECT_THROW(fresh.sample(), ArgumentError);
}

/// What the context's allocator has given out and not taken back.
struct Held {
  std::int64_t bytes = 0;
  Allocator allocator() {
    return {.allocate =
                [this](std::size_t size, void*) {
                  bytes += static_cast<std::int64_t>(size);
                  return allocate_shared(size);
                },
            .deallocate =
                [this](void* memory, std::size_t size, void*) {
                  bytes -= static_cast<std::int64_t>(size);
                  free_shared(memory, size);
                }};
  }
};

TEST(sampled_scores, take_the_memory_that_the_net_says) {
  for (Activation activation : {Activation::tanh, Activation::gelu}) {
    Held held;
    FullyConnected net(test_context({.allocator = held.allocator()}),
                       {.sizes = {7, 9, 5, 3}, .activation = activation});
    EXPECT_EQ(held.bytes, FullyConnected::bytes(net.options(), 0));
    Tensor<float> inputs(Random(1).table(20, 7));
    net.forward(inputs.view());
    EXPECT_EQ(held.bytes, FullyConnected::bytes(net.options(), 20));
    net.sample(1);
    EXPECT_EQ(held.bytes, FullyConnected::bytes(net.options(), 20, 1));
    net.sample(4);
    EXPECT_EQ(held.bytes, FullyConnected::bytes(net.options(), 20, 4));
    net.sample(2);
    EXPECT_EQ(held.bytes, FullyConnected::bytes(net.options(), 20, 4));
  }
}

}  // namespace

}  // namespace natgrad::tests
