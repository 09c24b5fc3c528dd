#include "natgrad/natgrad.hpp"
#include "support/likelihood_net.hpp"
#include "support/plain.hpp"
#include "support/sanitized.hpp"
#include "support/tolerance.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

// Rows 1, 2, 4 and 5 of the table in docs/architecture.md for every likelihood, of generalized
// linear models and of nets. Expectations over targets are exact: sums over points, or Gauss's
// quadrature of a normal distribution in three points, which integrates polynomials up to degree 5.

namespace natgrad::tests {

namespace {

constexpr std::size_t samples = 9;

/// Nets of one target, without a hidden layer, with one and with two.
std::vector<FullyConnected::Options> options_of(Likelihood likelihood) {
  const std::int64_t outputs = likelihood == Likelihood::categorical      ? 3
                               : likelihood == Likelihood::gaussian_scale ? 2
                                                                          : 1;
  std::vector<FullyConnected::Options> all;
  for (const std::vector<std::int64_t>& hidden :
       {std::vector<std::int64_t>{}, std::vector<std::int64_t>{4},
        std::vector<std::int64_t>{3, 3}}) {
    std::vector<std::int64_t> sizes{2};
    sizes.insert(sizes.end(), hidden.begin(), hidden.end());
    sizes.push_back(outputs);
    all.push_back(
        {.sizes = sizes, .likelihood = likelihood, .sigma = 0.7, .type = ElementType::float64});
  }
  return all;
}

/// body(model) for every likelihood and net.
template <class Body>
void for_models(const Body& body) {
  for (const EnumeratorName<Likelihood>& row : likelihood_names) {
    for (const FullyConnected::Options& options : options_of(row.value)) {
      SCOPED_TRACE(std::string(row.name) + ", layers " + std::to_string(options.sizes.size() - 1));
      LikelihoodNet model(options, samples);
      body(model);
    }
  }
}

/// Targets y and what they weigh, of which the expectation under p(. | z) is a sum.
struct Points {
  Numbers y;
  Numbers weight;
};

Points points_of(const FullyConnected::Options& options, const double* z) {
  switch (options.likelihood) {
    case Likelihood::categorical: {
      const double total = std::exp(z[0]) + std::exp(z[1]) + std::exp(z[2]);
      return {{0, 1, 2}, {std::exp(z[0]) / total, std::exp(z[1]) / total, std::exp(z[2]) / total}};
    }
    case Likelihood::bernoulli:
      return {{0, 1}, {1 / (1 + std::exp(z[0])), 1 / (1 + std::exp(-z[0]))}};
    case Likelihood::gaussian:
    case Likelihood::gaussian_scale: {
      const bool fixed = options.likelihood == Likelihood::gaussian;
      const double far = std::sqrt(3.0) * (fixed ? options.sigma : std::exp(z[1]));
      return {{z[0] - far, z[0], z[0] + far}, {1.0 / 6, 2.0 / 3, 1.0 / 6}};
    }
    case Likelihood::poisson: {
      // Rates are below e^3: what lies beyond weighs less than rounding.
      Points points;
      double p = std::exp(-std::exp(z[0]));
      for (int y = 0; y < 90; ++y) {
        points.y.push_back(y);
        points.weight.push_back(p);
        p *= std::exp(z[0]) / (y + 1);
      }
      return points;
    }
  }
  return {};
}

/// Every sample's point of one index, with the weights p(y | z) / N.
struct Slice {
  Targets targets;
  Tensor<double> weights;
};

std::vector<Slice> slices_of(const LikelihoodNet& model) {
  const Table z = model.z();
  std::vector<Points> points;
  for (std::size_t n = 0; n < samples; ++n) {
    points.push_back(points_of(model.net.options(), z.elements.data() + n * z.columns));
  }
  std::vector<Slice> slices;
  for (std::size_t j = 0; j < points[0].y.size(); ++j) {
    Table y(samples, 1);
    Numbers weights(samples);
    for (std::size_t n = 0; n < samples; ++n) {
      y(n, 0) = points[n].y[j];
      weights[n] = points[n].weight[j] / samples;
    }
    slices.push_back({Targets(model.net.options().likelihood, y), Tensor<double>(weights)});
  }
  return slices;
}

/// E[grad log p] over the targets that the slices hold, at the model's present parameters.
Numbers expected_score(LikelihoodNet& model, std::vector<Slice>& slices) {
  Numbers total(model.size(), 0.0);
  for (Slice& slice : slices) {
    total = sum(1, gradient_of(model.scores_at(slice.targets, slice.weights.view())), total);
  }
  return total;
}

/// E[s s^T] over the targets.
Table expected_square(LikelihoodNet& model, std::vector<Slice>& slices) {
  FisherMatrix fisher(model.net.parameters(), {.form = Form::primal});
  for (Slice& slice : slices) {
    fisher.accumulate(model.scores_at(slice.targets, slice.weights.view()));
  }
  Tensor<double> matrix(Table(model.size(), model.size()));
  fisher.to_dense(matrix.view());
  return matrix.table();
}

double largest_of(const Table& A) {
  double largest = 0;
  for (double element : A.elements) largest = std::fmax(largest, std::abs(element));
  return largest;
}

void expect_near(const Table& actual, const Table& expected, double bound) {
  for (std::size_t i = 0; i < expected.elements.size(); ++i) {
    EXPECT_TRUE(within(actual.elements[i], expected.elements[i], bound)) << "element " << i;
  }
}

TEST(theory, row_1_the_expected_score_is_zero) {
  for_models([](LikelihoodNet& model) {
    std::vector<Slice> slices = slices_of(model);
    const double magnitude = std::sqrt(largest_of(expected_square(model, slices)));
    for (double element : expected_score(model, slices)) {
      EXPECT_TRUE(within(element, 0, 1e-13 * magnitude));
    }
  });
}

TEST(theory, row_2_exact_rows_make_the_fisher_matrix) {
  for_models([](LikelihoodNet& model) {
    std::vector<Slice> slices = slices_of(model);
    const Table F = expected_square(model, slices);
    expect_near(dense_fisher(model.exact()), F, 1e-12 * largest_of(F));
  });
}

/// Targets drawn from the model, of counts at rates that are summed and at rates that are not:
/// their mean score is 0 within chance, and their S^T S the Fisher matrix.
TEST(theory, rows_1_and_2_of_drawn_targets) {
  constexpr std::int64_t draws = sanitized ? 200 : 2000;
  for (const EnumeratorName<Likelihood>& row : likelihood_names) {
    for (double shift : {0.0, 7.0}) {
      if (shift > 0 && row.value != Likelihood::poisson) continue;
      SCOPED_TRACE(std::string(row.name) + ", rates times e^" + std::to_string(shift));
      LikelihoodNet model(options_of(row.value)[1], samples);
      Numbers theta = model.theta();
      theta.back() += shift;
      model.set_theta(theta);
      model.net.forward(model.inputs.view());
      const Table F = dense_fisher(model.exact());
      model.net.sample(draws);
      const std::int64_t rows = draws * model.rows();
      Tensor<double> ones(Numbers(static_cast<std::size_t>(rows), 1.0));
      LayerScores drawn(model.net.parameters(), {.kind = FisherKind::sampled});
      model.net.add_sampled_to(drawn, {.samples = rows, .coefficients = ones.view()});
      const Numbers mean = gradient_of(drawn);
      double squares = 0;
      for (std::size_t i = 0; i < mean.size(); ++i) {
        const double deviation = std::sqrt(F(i, i) / static_cast<double>(rows));
        EXPECT_TRUE(within(mean[i], 0, 5 * deviation)) << i;
        squares += mean[i] * mean[i] / (deviation * deviation);
      }
      // Not much less than chance has it, either.
      EXPECT_GT(squares / static_cast<double>(mean.size()), 0.05);
      EXPECT_LE(relative_error(dense_fisher(drawn).elements, F.elements), sanitized ? 0.2 : 0.06);
    }
  }
}

/// F = mean of F_out (x) x x^T with x = (input, 1), of several targets too.
TEST(theory, row_2_the_fisher_matrix_of_generalized_linear_models_is_analytic) {
  for (const EnumeratorName<Likelihood>& row : likelihood_names) {
    SCOPED_TRACE(row.name);
    const std::size_t C = 4;
    LikelihoodNet model(
        {.sizes = {3, C}, .likelihood = row.value, .sigma = 0.7, .type = ElementType::float64},
        samples);
    const Table z = model.z();
    const auto fisher_of_outputs = [&](std::size_t n, std::size_t a, std::size_t b) {
      const double* outputs = z.elements.data() + n * C;
      const double p = 1 / (1 + std::exp(-outputs[a]));
      double total = 0;
      for (std::size_t c = 0; c < C; ++c) total += std::exp(outputs[c]);
      switch (row.value) {
        case Likelihood::categorical:
          return (a == b ? std::exp(outputs[a]) / total : 0) -
                 std::exp(outputs[a]) * std::exp(outputs[b]) / (total * total);
        case Likelihood::bernoulli:
          return a == b ? p * (1 - p) : 0;
        case Likelihood::gaussian:
          return a == b ? 1 / (0.7 * 0.7) : 0;
        case Likelihood::gaussian_scale:
          return a != b ? 0 : a < C / 2 ? std::exp(-2 * outputs[a + C / 2]) : 2;
        case Likelihood::poisson:
          return a == b ? std::exp(outputs[a]) : 0;
      }
      return 0.0;
    };
    // Parameter i is the weight (output, input), and after all weights the bias of an output.
    const auto output_of = [&](std::size_t i) { return i < 3 * C ? i / 3 : i - 3 * C; };
    const auto factor_of = [&](std::size_t n, std::size_t i) {
      return i < 3 * C ? model.inputs(n, i % 3) : 1.0;
    };
    Table F(model.size(), model.size());
    for (std::size_t i = 0; i < F.rows; ++i) {
      for (std::size_t j = 0; j < F.rows; ++j) {
        for (std::size_t n = 0; n < samples; ++n) {
          F(i, j) += fisher_of_outputs(n, output_of(i), output_of(j)) * factor_of(n, i) *
                     factor_of(n, j) / samples;
        }
      }
    }
    expect_near(dense_fisher(model.exact()), F, 1e-12 * largest_of(F));
  }
}

/// S^T r = g, the gradient of plain training; with weights and coefficients that of their sum.
TEST(theory, row_2_exact_rows_and_their_coefficients_make_the_gradient) {
  for_models([](LikelihoodNet& model) {
    LayerScores exact = model.exact();
    model.net.backward(model.targets.view());
    Tensor<double> gradient = zeros<double>(model.net.parameters().size());
    model.net.gradient(gradient.view());
    EXPECT_TRUE(relative_error_within(gradient_of(exact), gradient.numbers(), 1e-12));

    Random random(3);
    Numbers w = random.numbers(samples);
    for (double& weight : w) weight = 1 + weight;
    Tensor<double> weights(w);
    Tensor<double> coefficients(random.numbers(samples));
    LayerScores weighted =
        model.exact({.weights = weights.view(), .coefficients = coefficients.view()});
    LayerScores plain(model.net.parameters());
    model.net.add_to(
        plain,
        {.samples = samples, .weights = weights.view(), .coefficients = coefficients.view()});
    EXPECT_TRUE(relative_error_within(gradient_of(weighted), gradient_of(plain), 1e-12));
    // Part of a batch of twice as many samples: each counts half.
    const Numbers half = gradient_of(model.exact({.batch_samples = 2 * samples}));
    EXPECT_TRUE(relative_error_within(sum(1, half, half), gradient.numbers(), 1e-12));
  });
}

/// By central differences of the gradient, with the targets' distribution held.
TEST(theory, row_4_the_expected_hessian_is_minus_the_fisher_matrix) {
  const double h = std::cbrt(epsilon(ElementType::float64));
  for_models([&](LikelihoodNet& model) {
    std::vector<Slice> slices = slices_of(model);
    const Table F = dense_fisher(model.exact());
    const Numbers theta = model.theta();
    // A row of the Hessian a parameter: some suffice, few where there are many points.
    const std::size_t stride = (slices.size() > 10 ? 7 : 2) * (sanitized ? 2 : 1);
    for (std::size_t i = 0; i < theta.size(); i += stride) {
      const auto gradient_at = [&](double shift) {
        Numbers moved = theta;
        moved[i] += shift;
        model.set_theta(moved);
        model.net.forward(model.inputs.view());
        return expected_score(model, slices);
      };
      const Numbers above = gradient_at(h);
      const Numbers below = gradient_at(-h);
      for (std::size_t j = 0; j < theta.size(); ++j) {
        const double second = (above[j] - below[j]) / (2 * h);
        // Third derivatives are at most some tens of the largest second one.
        EXPECT_TRUE(within(second, -F(i, j), 100 * h * h * (1 + largest_of(F)))) << i << ", " << j;
      }
    }
  });
}

/// Halving d divides the error by 8, unless it is at rounding: of a linear Gaussian model KL is
/// quadratic.
TEST(theory, row_5_the_divergence_is_half_the_squared_fisher_norm) {
  for_models([](LikelihoodNet& model) {
    const Table F = dense_fisher(model.exact());
    const Numbers theta = model.theta();
    Random random(11);
    Numbers d = random.numbers(theta.size());
    const double size = std::sqrt(dot(d, multiply(F, d)));
    model.net.keep_outputs();
    double before = 0;
    double scale = 0.04;
    for (int halving = 0; halving < 4; ++halving, scale /= 2) {
      const double step = scale / size;  // of a Fisher norm of `scale`
      model.set_theta(sum(step, d, theta));
      model.net.forward(model.inputs.view());
      const double error = std::abs(model.kl() - scale * scale / 2);
      EXPECT_LE(error, 0.5 * scale * scale);
      const bool rounding = error < 1e-13 * scale;
      if (halving > 0) {
        EXPECT_TRUE(rounding || before / error >= 7) << before << " to " << error;
      }
      before = error;
    }
  });
}

}  // namespace

}  // namespace natgrad::tests
