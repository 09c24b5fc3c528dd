#include "natgrad/natgrad.hpp"
#include "support/device.hpp"
#include "support/layered_batch.hpp"
#include "support/plain.hpp"
#include "support/speaks_of.hpp"
#include "support/tolerance.hpp"
#include "support/two_layers.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <limits>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

// check_scores passes right rows of the library's net and of callers' own models, and finds faults
// that were planted.

namespace natgrad::tests {

namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();

template <class T>
constexpr double default_step = std::is_same_v<T, double> ? 0x1p-20 : 0x1p-12;

/// What differences of smooth functions may err by: h^2 times a third derivative and eps / h times
/// log p and the length of its sums, all of which are of order 1 to 10 in these tests.
template <class T>
double difference_bound() {
  const double h = default_step<T>;
  return 50 * (h * h + epsilon(element_type_of<T>) / h);
}

/// Where log p is of double whatever the parameters' type: rows of that type, and no rounding of
/// the points, because the direction is the one between the rounded points.
template <class T>
double double_difference_bound() {
  const double h = default_step<T>;
  return 50 * (h * h + epsilon(element_type_of<T>) + epsilon(ElementType::float64) / h);
}

/// The library's net with everything that a check needs.
template <class T>
struct Net {
  FullyConnected net;
  Tensor<T> inputs;
  SharedVector<std::int32_t> labels;
  LayerScores scores{net.parameters()};

  Net(std::vector<std::int64_t> sizes, Activation activation, std::size_t samples)
      : net(test_context(),
            {.sizes = sizes, .activation = activation, .type = element_type_of<T>}) {
    Random random(7);
    inputs = Tensor<T>(random.table(samples, static_cast<std::size_t>(sizes.front())));
    for (std::size_t n = 0; n < samples; ++n) {
      labels.push_back(static_cast<std::int32_t>(n % static_cast<std::size_t>(sizes.back())));
    }
    net.forward(inputs.view());
    net.backward(label_view());
    net.add_to(scores, {.samples = static_cast<std::int64_t>(samples)});
  }
  View label_view() { return shared_view(labels, {static_cast<std::int64_t>(labels.size()), 1}); }
  LogLikelihood log_likelihood() {
    return [this](const View& log_p) {
      net.forward(inputs.view());
      net.log_likelihood(label_view(), log_p);
    };
  }
};

template <class T>
void check_nets() {
  const std::vector<std::vector<std::int64_t>> shapes = {
      {4, 3}, {3, 5, 2}, {6, 8, 7, 5}, {1, 40, 2}};
  for (Activation activation : {Activation::identity, Activation::tanh, Activation::relu,
                                Activation::sigmoid, Activation::gelu}) {
    for (const std::vector<std::int64_t>& sizes : shapes) {
      for (std::size_t samples : {1UL, 30UL}) {
        SCOPED_TRACE(std::string(to_string(activation)) + ", " + std::to_string(sizes.size()) +
                     " sizes, " + std::to_string(samples) + " samples");
        Net<T> net(sizes, activation, samples);
        const LikelihoodCheck check = check_scores(net.scores, net.log_likelihood());
        EXPECT_EQ(check.rows_off, 0) << check.text;
        EXPECT_TRUE(speaks_of(check, "the rows agree")) << check.text;
        EXPECT_TRUE(check.uncovered.empty());
        // Points that kinks lie between are bounded by no derivative.
        if (activation != Activation::relu) {
          EXPECT_LE(check.distance, difference_bound<T>());
          EXPECT_TRUE(within(check.factor, 1, difference_bound<T>()));
        }
      }
    }
  }
}

TEST(check_scores, agrees_with_nets_of_every_activation) {
  check_nets<double>();
  check_nets<float>();
}

/// Wide and deep enough that rows meet kinks at both of their points.
TEST(check_scores, is_not_misled_by_many_kinks) {
  Net<float> net({20, 150, 150, 150, 5}, Activation::relu, 60);
  const LikelihoodCheck check = check_scores(net.scores, net.log_likelihood());
  EXPECT_EQ(check.rows_off, 0) << check.text;
}

TEST(check_scores, leaves_a_net_as_it_was) {
  Net<float> net({6, 8, 7, 5}, Activation::gelu, 30);
  const auto gradient = [&] {
    Tensor<float> gradient = zeros<float>(net.net.parameters().size());
    net.scores.gradient(gradient.view());
    return gradient.memory();
  };
  const std::vector<float> before = gradient();
  check_scores(net.scores, net.log_likelihood());
  EXPECT_TRUE(same_bits(gradient(), before));
}

template <class T>
void check_own_model() {
  Random random(9);
  Numbers weight_values(TwoLayers<T>::samples, 0.0);
  for (std::size_t n = 2; n < weight_values.size(); ++n) weight_values[n] = 2 + random();
  Tensor<T> weights(weight_values);
  Tensor<T> coefficients(random.numbers(TwoLayers<T>::samples));
  TwoLayers<T> model;
  const auto n = static_cast<double>(TwoLayers<T>::samples);
  const std::vector<RowSet> sets = {
      {},
      {.batch_samples = 1000},
      {.weights = weights.view()},
      {.weights = weights.view(), .coefficients = coefficients.view()}};
  const LikelihoodCheck plain = check_scores(model.scores(), model.log_likelihood());
  EXPECT_LE(plain.distance, double_difference_bound<T>()) << plain.text;
  for (const RowSet& set : sets) {
    const LikelihoodCheck check = check_scores(model.scores(set), model.log_likelihood());
    EXPECT_EQ(check.rows_off, 0) << check.text;
    EXPECT_EQ(check.distance, plain.distance) << "weights or coefficients matter";
  }
  // Rows of the gradient of a mean loss.
  model.scale_scores(-1 / n);
  const LikelihoodCheck scaled = check_scores(model.scores({.scale = -n}), model.log_likelihood());
  EXPECT_EQ(scaled.rows_off, 0) << scaled.text;
  EXPECT_LE(scaled.distance, double_difference_bound<T>()) << scaled.text;
}

TEST(check_scores, agrees_with_a_callers_own_layers) {
  check_own_model<double>();
  check_own_model<float>();
}

struct Fault {
  const char* what;
  std::function<void(TwoLayers<double>&, RowSet&)> plant;
  std::int64_t rows_off;
  double factor;  // nan: any
  std::vector<std::string> texts;
};

TEST(check_scores, finds_planted_faults) {
  using Model = TwoLayers<double>;
  constexpr auto samples = static_cast<std::int64_t>(Model::samples);
  constexpr auto n = static_cast<double>(Model::samples);
  const std::vector<Fault> faults = {
      {"one row",
       [](Model& m, RowSet&) { Model::scale_row(m.score2, 5, 1.01); },
       1,
       nan,
       {"the rows differ", "1 of 12 rows are off, worst row 5"}},
      {"one row of no weight",
       [](Model& m, RowSet& set) {
         m.weights(7) = 0;
         set.weights = m.weights.view();
         Model::scale_row(m.score1, 7, 1.01);
       },
       1,
       nan,
       {"the rows differ", "1 of 12 rows are off, worst row 7"}},
      {"sign",
       [](Model& m, RowSet&) { m.scale_scores(-1); },
       samples,
       -1,
       {"up to a factor", "; -1: ", "worst row"}},
      {"the 1/N of a mean",
       [](Model& m, RowSet&) { m.scale_scores(1 / n); },
       samples,
       1 / n,
       {"up to a factor", "; 1/N: ", "multiply .scale by N"}},
      {"the gradient of a mean loss",
       [](Model& m, RowSet&) { m.scale_scores(-1 / n); },
       samples,
       -1 / n,
       {"up to a factor", "; -1/N: ", "multiply .scale by -N"}},
      {"a scale too many",
       [](Model&, RowSet& set) { set.scale = n; },
       samples,
       n,
       {"up to a factor", "; N: "}},
      {"a square without its half",
       [](Model& m, RowSet&) { m.scale_scores(2); },
       samples,
       2,
       {"up to a factor", "2 or 1/2"}},
      {"no derivatives at all",
       [](Model& m, RowSet&) { m.scale_scores(0); },
       samples,
       0,
       {"; 0: the rows are zero"}},
      {"a layer left out",
       [](Model& m, RowSet&) { m.layers.erase(m.layers.begin()); },
       samples,
       nan,
       {"the rows differ", "no row touches parameter W1", "no row touches parameter b1"}},
      {"a bias left out",
       [](Model& m, RowSet&) { m.layers[1].bias = {}; },
       samples,
       nan,
       {"the rows differ", "no row touches parameter b2"}},
      {"a transposed factor",
       [](Model& m, RowSet&) { std::swap(m.layers[0].input, m.layers[0].output_score); },
       samples,
       nan,
       {"the rows differ", "12 of 12 rows are off"}},
      {"a derivative of the wrong function",
       [](Model& m, RowSet&) {
         for (std::size_t row = 0; row < Model::samples; ++row) {
           for (std::size_t j = 0; j < Model::width; ++j)
             m.score1(row, j) *= 0.9 + 0.1 * static_cast<double>(j);
         }
       },
       samples,
       nan,
       {"the rows differ"}},
  };
  for (const Fault& fault : faults) {
    SCOPED_TRACE(fault.what);
    Model model;
    RowSet set;
    fault.plant(model, set);
    const LikelihoodCheck check = check_scores(model.scores(set), model.log_likelihood());
    EXPECT_EQ(check.rows_off, fault.rows_off);
    EXPECT_GT(check.distance, 1e-4);
    if (!std::isnan(fault.factor)) {
      EXPECT_TRUE(within(check.factor, fault.factor, n * difference_bound<double>()));
    }
    for (const std::string& text : fault.texts) EXPECT_TRUE(speaks_of(check, text)) << check.text;
  }
}

TEST(check_scores, names_the_worst_row_and_its_values) {
  TwoLayers<double> model;
  TwoLayers<double>::scale_row(model.score1, 3, 3);
  TwoLayers<double>::scale_row(model.score2, 3, 3);
  TwoLayers<double>::scale_row(model.score2, 8, 1.001);
  const LikelihoodCheck check = check_scores(model.scores(), model.log_likelihood());
  EXPECT_EQ(check.rows_off, 2) << check.text;
  EXPECT_EQ(check.worst_row, 3);
  EXPECT_TRUE(within(check.worst_product / check.worst_difference, 3, 1e-6));
}

/// Logistic regression in layers, and once more with its rows materialized.
TEST(check_scores, agrees_with_logistic_regression) {
  SharedVector<float> x = {0, 1, 1, 1, 2, 0, 3, 2}, w(2), b(1), score(4);
  const std::vector<float> y = {0, 0, 1, 1};
  Parameters parameters(test_context());
  const Segment weight = parameters.add(shared_view(w, {1, 2}), "w");
  const Segment bias = parameters.add(shared_view(b, {1}), "b");
  const auto log_likelihood = [&](const View& log_p) {
    synchronize_device();
    Numbers values(4);
    for (std::size_t n = 0; n < 4; ++n) {
      const double z = w[0] * x[2 * n] + w[1] * x[2 * n + 1] + b[0];
      values[n] = y[n] * z - std::log1p(std::exp(z));
    }
    parameters.context().write(values.data(), log_p);
  };
  // At zero, where a fresh model stands, and elsewhere.
  for (float start : {0.0F, 0.5F}) {
    synchronize_device();
    w = {start, -2 * start};
    Tensor<float> rows(Table(4, 3));
    for (std::size_t n = 0; n < 4; ++n) {
      score[n] = y[n] - 1 / (1 + std::exp(-(w[0] * x[2 * n] + w[1] * x[2 * n + 1] + b[0])));
      for (std::size_t i = 0; i < 3; ++i) rows(n, i) = score[n] * (i < 2 ? x[2 * n + i] : 1);
    }
    LayerScores layers(parameters);
    layers.begin({.samples = 4});
    layers.add({.weight = weight,
                .bias = bias,
                .input = shared_view(x, {4, 2}),
                .output_score = shared_view(score, {4})});
    DenseScores dense(parameters);
    dense.begin(rows.view());
    for (const Scores* scores : std::initializer_list<const Scores*>{&layers, &dense}) {
      const LikelihoodCheck check = check_scores(*scores, log_likelihood);
      EXPECT_EQ(check.rows_off, 0) << check.text;
      EXPECT_LE(check.distance, difference_bound<float>());
    }
    rows(2, 1) += 1;
    const LikelihoodCheck wrong = check_scores(dense, log_likelihood);
    EXPECT_EQ(wrong.rows_off, 1) << wrong.text;
    EXPECT_EQ(wrong.worst_row, 2);
  }
}

/// Rows of residuals are the Jacobian of what the function then gives.
TEST(check_scores, compares_a_jacobian_with_residuals) {
  Random random(11);
  const Table matrix = random.table(6, 3);
  Tensor<double> theta(random.numbers(3));
  Tensor<double> jacobian(matrix);
  Parameters parameters(test_context());
  parameters.add(theta.view());
  DenseScores scores(parameters, {.kind = FisherKind::residual});
  scores.begin(jacobian.view());
  const LikelihoodCheck check = check_scores(scores, [&](const View& residual) {
    Numbers values = multiply(matrix, theta.numbers());
    for (double& value : values) value -= 1;
    parameters.context().write(values.data(), residual);
  });
  EXPECT_EQ(check.rows_off, 0) << check.text;
}

/// log p = max(0, theta_n) with every theta_n within the step: each point or its mirror image is
/// beyond the kink, and the central difference is nobody's slope.
TEST(check_scores, takes_one_sided_differences_at_a_kink) {
  constexpr std::size_t samples = 20;
  Tensor<double> theta(Numbers(samples + 1, 0.0));
  theta(samples) = 5;  // the length that the step is relative to
  Tensor<double> rows(Table(samples, samples + 1));
  for (std::size_t n = 0; n < samples; ++n) {
    theta(n) = (n % 2 == 0 ? 1e-9 : -1e-9);
    rows(n, n) = n % 2 == 0 ? 1 : 0;
    rows(n, samples) = 1;
  }
  Parameters parameters(test_context());
  parameters.add(theta.view());
  DenseScores scores(parameters);
  scores.begin(rows.view());
  const auto log_likelihood = [&](const View& log_p) {
    Numbers values = theta.numbers();
    for (double& value : values) value = std::max(0.0, value) + theta(samples);
    parameters.context().write(values.data(), log_p);
  };
  const LikelihoodCheck check = check_scores(scores, log_likelihood, {.directions = 1});
  EXPECT_EQ(check.rows_off, 0) << check.text;
  EXPECT_LE(check.distance, 1e-3);
  for (std::size_t n = 0; n < samples; ++n) rows(n, n) = n % 2 == 0 ? 3 : -2;
  EXPECT_EQ(check_scores(scores, log_likelihood).rows_off, samples);
}

}  // namespace

}  // namespace natgrad::tests
