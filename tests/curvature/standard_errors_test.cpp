#include "curvature/standard_errors_figures.hpp"
#include "natgrad/natgrad.hpp"
#include "support/device.hpp"
#include "support/layered_batch.hpp"
#include "support/plain.hpp"
#include "support/tolerance.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <functional>
#include <vector>

// Standard errors of maximum-likelihood fits against those of statsmodels, stored in a table.

namespace natgrad::tests {

namespace {

constexpr double same = 1e-8;

double predictor(const Fit& fit, std::size_t n) { return dot(fit.x[n], fit.estimates); }

/// Of F whose row n is the root of `variance`(z_n) times x_n, in one form and one type.
Numbers standard_errors(const Fit& fit, Form form,
                        const std::function<double(double)>& information) {
  Table S(fit.x.size(), fit.estimates.size());
  for (std::size_t n = 0; n < S.rows; ++n) {
    const double root = std::sqrt(information(predictor(fit, n)));
    for (std::size_t j = 0; j < S.columns; ++j) S(n, j) = root * fit.x[n][j];
  }
  Tensor<double> theta(fit.estimates);
  Tensor<double> rows(S);
  Tensor<double> ones(Numbers(S.rows, 1.0));
  Parameters parameters(test_context());
  parameters.add(theta.view());
  DenseScores scores(parameters, {.kind = FisherKind::exact});
  scores.begin(rows.view(), {.weights = ones.view()});
  FisherMatrix fisher(parameters, {.form = form, .damping = {.absolute = 0}});
  fisher.accumulate(scores);
  Tensor<double> variance(Numbers(S.columns, 0.0));
  EXPECT_EQ(fisher.inverse_diagonal(variance.view()), Outcome::accepted);
  Numbers errors = variance.numbers();
  for (double& error : errors) error = std::sqrt(error);
  return errors;
}

void expect_those(const Numbers& actual, const Numbers& expected) {
  ASSERT_EQ(actual.size(), expected.size());
  for (std::size_t i = 0; i < actual.size(); ++i) {
    EXPECT_TRUE(within(actual[i], expected[i], same * expected[i])) << i;
  }
}

double logistic_variance(double z) {
  const double p = 1 / (1 + std::exp(-z));
  return p * (1 - p);
}

/// Unbiased, as statsmodels takes it.
double residual_variance(const Fit& fit) {
  double squares = 0;
  for (std::size_t n = 0; n < fit.y.size(); ++n) {
    const double residual = fit.y[n] - predictor(fit, n);
    squares += residual * residual;
  }
  return squares / static_cast<double>(fit.y.size() - fit.estimates.size());
}

TEST(standard_errors, of_logistic_regression) {
  for (const Form form : {Form::primal, Form::dual}) {
    expect_those(standard_errors(logistic_fit, form, logistic_variance),
                 logistic_fit.standard_errors);
  }
}

TEST(standard_errors, of_poisson_regression) {
  for (const Form form : {Form::primal, Form::dual}) {
    expect_those(standard_errors(poisson_fit, form, [](double z) { return std::exp(z); }),
                 poisson_fit.standard_errors);
  }
}

/// Columns that are nearly dependent and in very different units: parameter space alone.
TEST(standard_errors, of_linear_regression) {
  const double variance = residual_variance(longley_fit);
  const Numbers errors =
      standard_errors(longley_fit, Form::primal, [=](double) { return 1 / variance; });
  expect_those(errors, longley_fit.standard_errors);
  // NIST's certified values of the slopes (Statistical Reference Datasets, Longley).
  const Numbers certified = {84.9149257747669,  0.0334910077722432, 0.488399681651699,
                             0.214274163161675, 0.226073200069370,  455.478499142212};
  expect_those(Numbers(errors.begin() + 1, errors.end()), certified);
}

}  // namespace

}  // namespace natgrad::tests
