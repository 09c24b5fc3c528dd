#include "natgrad/natgrad.hpp"
#include "support/device.hpp"
#include "support/layered_batch.hpp"
#include "support/plain.hpp"
#include "support/tolerance.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstdint>
#include <vector>

// The built-in model's scores are the derivatives of its log-likelihood, and what the theory says
// of them holds.

namespace natgrad::tests {

namespace {

using Labels = SharedVector<std::int32_t>;

View view_of(Labels& labels) {
  return shared_view(labels, {static_cast<std::int64_t>(labels.size()), 1});
}

/// A net at random parameters, biases included, with random inputs and labels.
struct Trial {
  FullyConnected net;
  Tensor<double> inputs;
  Labels labels;

  Trial(std::vector<std::int64_t> sizes, Activation activation, std::size_t samples)
      : net(test_context(),
            {.sizes = sizes, .activation = activation, .type = ElementType::float64}) {
    Random random(7);
    Tensor<double> theta(random.numbers(static_cast<std::size_t>(net.parameters().size())));
    net.parameters().scatter(theta.view());
    inputs = Tensor<double>(random.table(samples, static_cast<std::size_t>(sizes.front())));
    for (std::size_t n = 0; n < samples; ++n) {
      labels.push_back(static_cast<std::int32_t>(n % static_cast<std::size_t>(sizes.back())));
    }
  }
  LayerScores scores(const RowSet& set) const {
    LayerScores scores(net.parameters());
    net.add_to(scores, set);
    return scores;
  }
  std::size_t size() const { return static_cast<std::size_t>(net.parameters().size()); }
};

Numbers gradient_of(const Scores& scores) {
  Tensor<double> gradient = zeros<double>(scores.parameters().size());
  scores.gradient(gradient.view());
  return gradient.numbers();
}

/// The probabilities of all classes, from the net's outputs.
Table probabilities(const FullyConnected& net) {
  const ConstView outputs = net.outputs();
  const Numbers z = host_copy<double>(net.parameters().context(), outputs);
  Table p(static_cast<std::size_t>(outputs.rows()), static_cast<std::size_t>(outputs.columns()));
  for (std::size_t n = 0; n < p.rows; ++n) {
    double total = 0;
    for (std::size_t c = 0; c < p.columns; ++c) {
      p(n, c) = std::exp(z[n * p.columns + c]);
      total += p(n, c);
    }
    for (std::size_t c = 0; c < p.columns; ++c) p(n, c) /= total;
  }
  return p;
}

constexpr std::array activations{Activation::identity, Activation::tanh, Activation::relu,
                                 Activation::sigmoid, Activation::gelu};

/// Central differences: their error is h^2 / 6 times a third derivative, and eps |log p| / h.
TEST(model_identities, scores_are_differences_of_the_log_likelihood) {
  constexpr std::size_t samples = 3;
  const double h = std::cbrt(epsilon(ElementType::float64));
  for (Activation activation : activations) {
    SCOPED_TRACE(to_string(activation));
    Trial trial({3, 4, 2, 3}, activation, samples);
    for (std::size_t n = 0; n < samples; ++n) {
      const ConstView input = trial.inputs.view().row_range(static_cast<std::int64_t>(n), 1);
      Labels label = {trial.labels[n]};
      const auto log_likelihood = [&] {
        trial.net.forward(input);
        return -trial.net.evaluate(view_of(label)).loss;
      };
      trial.net.forward(input);
      trial.net.backward(view_of(label));
      const Numbers score = gradient_of(trial.scores({.samples = 1}));
      std::size_t index = 0;
      for (int i = 0; i < trial.net.parameters().segments(); ++i) {
        const View tensor = trial.net.parameters().tensor({i});
        const Context& context = trial.net.parameters().context();
        Numbers values = host_copy<double>(context, tensor);
        for (double& parameter : values) {
          const double centre = parameter;
          const auto move_to = [&](double value) {
            parameter = value;
            context.write(values.data(), tensor);
          };
          move_to(centre + h);
          const double above = log_likelihood();
          move_to(centre - h);
          const double below = log_likelihood();
          move_to(centre);
          // Parameters, inputs and with them all derivatives are of order 1 to 10.
          EXPECT_TRUE(within((above - below) / (2 * h), score[index], 50 * h * h))
              << "parameter " << index << " of sample " << n;
          ++index;
        }
      }
    }
  }
}

TEST(model_identities, the_mean_score_is_the_gradient_of_plain_training) {
  for (Activation activation : activations) {
    Trial trial({5, 6, 4}, activation, 9);
    trial.net.forward(trial.inputs.view());
    trial.net.backward(view_of(trial.labels));
    Tensor<double> plain = zeros<double>(trial.net.parameters().size());
    trial.net.gradient(plain.view());
    EXPECT_TRUE(relative_error_within(gradient_of(trial.scores({.samples = 9})), plain.numbers(),
                                      sum_bound(20, ElementType::float64, 3)))
        << to_string(activation);
  }
}

TEST(model_identities, the_loss_is_minus_the_mean_log_likelihood_of_the_rows) {
  Trial trial({5, 6, 4}, Activation::tanh, 9);
  trial.net.forward(trial.inputs.view());
  Tensor<double> log_p = zeros<double>(9);
  trial.net.log_likelihood(view_of(trial.labels), log_p.view());
  const Table p = probabilities(trial.net);
  double sum = 0;
  for (std::size_t n = 0; n < 9; ++n) {
    const auto label = static_cast<std::size_t>(trial.labels[n]);
    EXPECT_TRUE(within(log_p(n), std::log(p(n, label)), sum_bound(20, ElementType::float64, 20)));
    sum += log_p(n);
  }
  EXPECT_TRUE(within(trial.net.evaluate(view_of(trial.labels)).loss, -sum / 9,
                     sum_bound(9, ElementType::float64, 20)));
}

/// Row 1 of the table in docs/architecture.md: E[s] = 0, with every label at its exact probability.
TEST(model_identities, the_expected_score_is_zero) {
  constexpr std::size_t samples = 6;
  for (Activation activation : activations) {
    SCOPED_TRACE(to_string(activation));
    Trial trial({3, 5, 4}, activation, samples);
    trial.net.forward(trial.inputs.view());
    const Table p = probabilities(trial.net);
    Numbers expectation(trial.size(), 0.0);
    Numbers magnitude(trial.size(), 0.0);
    for (std::size_t c = 0; c < p.columns; ++c) {
      Labels labels(samples, static_cast<std::int32_t>(c));
      trial.net.backward(view_of(labels));
      for (std::size_t n = 0; n < samples; ++n) {
        Numbers only(samples, 0.0);
        only[n] = p(n, c);
        Tensor<double> weights(only);
        const Numbers share =
            gradient_of(trial.scores({.samples = samples, .weights = weights.view()}));
        for (std::size_t i = 0; i < share.size(); ++i) {
          expectation[i] += share[i];
          magnitude[i] += std::abs(share[i]);
        }
      }
    }
    for (std::size_t i = 0; i < expectation.size(); ++i) {
      // The outputs are summed over 5 units, of which the probabilities' exponentials are taken.
      EXPECT_TRUE(within(expectation[i], 0, sum_bound(60, ElementType::float64, magnitude[i])));
    }
  }
}

/// Row 2: F = E[s s^T] of softmax regression is (diag(p) - p p^T) (x) x x^T, with x = (input, 1).
TEST(model_identities, the_fisher_of_softmax_regression_is_analytic) {
  constexpr std::size_t samples = 7;
  constexpr std::size_t inputs = 3;
  constexpr std::size_t classes = 4;
  Trial trial({inputs, classes}, Activation::identity, samples);
  trial.net.forward(trial.inputs.view());
  const Table p = probabilities(trial.net);
  const auto p_count = static_cast<std::int64_t>(samples * classes);
  for (Form form : {Form::primal, Form::dual}) {
    FisherMatrix fisher(trial.net.parameters(), {.form = form, .samples = p_count});
    for (std::size_t c = 0; c < classes; ++c) {
      Labels labels(samples, static_cast<std::int32_t>(c));
      trial.net.backward(view_of(labels));
      Numbers probability(samples);
      for (std::size_t n = 0; n < samples; ++n) probability[n] = p(n, c) / samples;
      Tensor<double> weights(probability);
      fisher.accumulate(trial.scores({.samples = samples, .weights = weights.view()}));
    }
    const std::size_t size = trial.size();
    Tensor<double> matrix(Table(size, size));
    fisher.to_dense(matrix.view());

    // Parameter i is the weight (class, input) and after all weights the bias of a class.
    const auto class_of = [](std::size_t i) {
      return i < classes * inputs ? i / inputs : i - classes * inputs;
    };
    const auto factor_of = [&](std::size_t n, std::size_t i) {
      return i < classes * inputs ? trial.inputs(n, i % inputs) : 1.0;
    };
    for (std::size_t i = 0; i < size; ++i) {
      for (std::size_t j = 0; j < size; ++j) {
        double expected = 0;
        for (std::size_t n = 0; n < samples; ++n) {
          const double delta = class_of(i) == class_of(j) ? p(n, class_of(i)) : 0;
          expected += (delta - p(n, class_of(i)) * p(n, class_of(j))) * factor_of(n, i) *
                      factor_of(n, j) / samples;
        }
        EXPECT_TRUE(within(matrix(i, j), expected, sum_bound(p_count, ElementType::float64, 1)))
            << to_string(form) << " element " << i << ", " << j;
      }
    }
  }
}

}  // namespace

}  // namespace natgrad::tests
