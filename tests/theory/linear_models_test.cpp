#include "natgrad/natgrad.hpp"
#include "support/likelihood_net.hpp"
#include "support/plain.hpp"
#include "support/tolerance.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

// Generalized linear models: with damping 0 and rate 1 the natural gradient of the exact Fisher
// matrix is Fisher's scoring, which finds the maximum-likelihood estimate of iteratively reweighted
// least squares in a few steps.

namespace natgrad::tests {

namespace {

struct Data {
  std::string name;
  Likelihood likelihood;
  Table inputs;
  Numbers y;
};

/// Every column less its mean, in standard deviations.
Table standardized(Table columns) {
  for (std::size_t j = 0; j < columns.columns; ++j) {
    double mean = 0;
    for (std::size_t n = 0; n < columns.rows; ++n) mean += columns(n, j);
    mean /= static_cast<double>(columns.rows);
    double variance = 0;
    for (std::size_t n = 0; n < columns.rows; ++n) {
      columns(n, j) -= mean;
      variance += columns(n, j) * columns(n, j);
    }
    const double deviation = std::sqrt(variance / static_cast<double>(columns.rows));
    for (std::size_t n = 0; n < columns.rows; ++n) columns(n, j) /= deviation;
  }
  return columns;
}

Table column(const Numbers& values) {
  Table table(values.size(), 1);
  table.elements = values;
  return table;
}

/// O-rings of the space shuttle's 23 flights before Challenger's last: temperature in degrees
/// Fahrenheit and whether one was damaged (Dalal, Fowlkes, Hoadley 1989).
Data o_rings() {
  return {"o-rings",
          Likelihood::bernoulli,
          standardized(column({66, 70, 69, 68, 67, 72, 73, 70, 57, 63, 70, 78,
                               67, 53, 67, 75, 70, 81, 76, 79, 75, 76, 58})),
          {0, 1, 0, 0, 0, 0, 0, 0, 1, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 0, 1}};
}

/// Counts of a randomized controlled trial, three outcomes by three treatments (Dobson 1990, page
/// 93), with indicators of the second and third.
Data trial_counts() {
  Table indicators(9, 4);
  for (std::size_t n = 0; n < 9; ++n) {
    const std::size_t outcome = n % 3;
    const std::size_t treatment = n / 3;
    if (outcome > 0) indicators(n, outcome - 1) = 1;
    if (treatment > 0) indicators(n, 1 + treatment) = 1;
  }
  return {"trial", Likelihood::poisson, indicators, {18, 17, 15, 20, 10, 20, 25, 13, 12}};
}

/// Drawn from the model at coefficients between -1 and 1.
Data drawn(Likelihood likelihood) {
  LikelihoodNet model({.sizes = {3, 1}, .likelihood = likelihood, .type = ElementType::float64},
                      300, 5);
  model.set_theta({0.8, -0.5, 0.3, 0.4});
  model.net.forward(model.inputs.view());
  model.net.sample();
  return {std::string("drawn ") + to_string(likelihood), likelihood, model.inputs.table(),
          model.sampled().elements};
}

double mean_of(Likelihood likelihood, double z) {
  return likelihood == Likelihood::poisson ? std::exp(z) : 1 / (1 + std::exp(-z));
}
double link_of(Likelihood likelihood, double mean) {
  return likelihood == Likelihood::poisson ? std::log(mean) : std::log(mean / (1 - mean));
}

Numbers starting_point(const Data& data) {
  Numbers theta(data.inputs.columns + 1, 0.0);
  double sum = 0;
  for (double y : data.y) sum += y;
  theta.back() = link_of(data.likelihood, sum / static_cast<double>(data.y.size()));
  return theta;
}

/// Iteratively reweighted least squares: X^T W X beta = X^T W (z + (y - mean) / w), X with a column
/// of ones.
Numbers least_squares_estimate(const Data& data) {
  Numbers beta = starting_point(data);
  const std::size_t P = beta.size();
  for (int iteration = 0; iteration < 50; ++iteration) {
    Table A(P, P);
    Numbers b(P, 0.0);
    for (std::size_t n = 0; n < data.y.size(); ++n) {
      const auto x = [&](std::size_t i) { return i + 1 < P ? data.inputs(n, i) : 1.0; };
      double z = 0;
      for (std::size_t i = 0; i < P; ++i) z += x(i) * beta[i];
      const double mean = mean_of(data.likelihood, z);
      const double w = data.likelihood == Likelihood::poisson ? mean : mean * (1 - mean);
      for (std::size_t i = 0; i < P; ++i) {
        b[i] += x(i) * (w * z + data.y[n] - mean);
        for (std::size_t j = 0; j < P; ++j) A(i, j) += w * x(i) * x(j);
      }
    }
    beta = solve(A, 0, b);
  }
  return beta;
}

class ScoringFit {
 public:
  ScoringFit(const Data& data, const Numbers& start)
      : net_(test_context(), {.sizes = {static_cast<std::int64_t>(data.inputs.columns), 1},
                              .likelihood = data.likelihood,
                              .type = ElementType::float64}),
        inputs_(data.inputs),
        targets_(data.likelihood, column(data.y)),
        optimizer_(net_.parameters(),
                   {.damping = {.absolute = 0}, .step = FixedRate{1}, .momentum = NoMomentum{}}) {
    Tensor<double> theta(start);
    net_.parameters().scatter(theta.view());
    synchronize_device();
  }
  Outcome step() {
    net_.forward(inputs_.view());
    net_.compute_exact(targets_.view());
    LayerScores scores(net_.parameters(), {.kind = FisherKind::exact});
    net_.add_exact_to(scores, {.samples = inputs_.view().rows()});
    optimizer_.step(scores);
    return optimizer_.report().outcome;
  }
  Numbers theta() const {
    Tensor<double> values = zeros<double>(net_.parameters().size());
    net_.parameters().gather(values.view());
    return values.numbers();
  }
  double loss() {
    net_.forward(inputs_.view());
    return net_.evaluate(targets_.view()).loss;
  }

 private:
  FullyConnected net_;
  Tensor<double> inputs_;
  Targets targets_;
  NaturalGradient optimizer_;
};

TEST(theory, linear_models_reach_the_estimate_of_least_squares_in_ten_steps) {
  for (const Data& data :
       {o_rings(), trial_counts(), drawn(Likelihood::bernoulli), drawn(Likelihood::poisson)}) {
    SCOPED_TRACE(data.name);
    const Numbers estimate = least_squares_estimate(data);
    for (double coefficient : estimate) EXPECT_LT(std::abs(coefficient), 3.1);
    ScoringFit fit(data, starting_point(data));
    for (int step = 0; step < 10; ++step) EXPECT_EQ(fit.step(), Outcome::accepted);
    const Numbers theta = fit.theta();
    for (std::size_t i = 0; i < theta.size(); ++i) {
      EXPECT_TRUE(within(theta[i], estimate[i], 1e-8)) << "coefficient " << i;
    }
  }
}

/// The published estimates, to the digits that they have.
TEST(theory, linear_models_of_known_data_have_the_known_estimates) {
  const Numbers counts = least_squares_estimate(trial_counts());
  const Numbers published{-0.4543, -0.2930, 0, 0, 3.0445};
  for (std::size_t i = 0; i < counts.size(); ++i) {
    EXPECT_TRUE(within(counts[i], published[i], 5e-5)) << i;
  }
  // 15.0429 - 0.2322 of the temperature itself, whose mean is 1600 / 23.
  const Numbers rings = least_squares_estimate(o_rings());
  EXPECT_TRUE(within(rings[1], 15.0429 - 0.2322 * 1600 / 23, 5e-3));
}

/// Without a finite estimate the coefficients grow, with a margin of about one more each step,
/// until the Fisher matrix is 0 as far as double goes. Parameters stay numbers throughout.
TEST(theory, linear_models_of_separable_data_end_with_a_named_outcome) {
  const Data data{"separable",
                  Likelihood::bernoulli,
                  column({-2, -1.5, -1, -0.5, 0.5, 1, 2, 3}),
                  {0, 0, 0, 0, 1, 1, 1, 1}};
  ScoringFit fit(data, {0, 0});
  double loss = fit.loss();
  for (int step = 0; step < 20; ++step) {
    ASSERT_EQ(fit.step(), Outcome::accepted);
    const double next = fit.loss();
    EXPECT_LT(next, loss);
    loss = next;
  }
  EXPECT_LT(loss, 1e-8);

  ScoringFit late(data, {1400, 0});
  Outcome outcome = Outcome::accepted;
  for (int step = 0; step < 100 && outcome == Outcome::accepted; ++step) outcome = late.step();
  EXPECT_EQ(outcome, Outcome::not_positive_definite);
  const Numbers theta = late.theta();
  EXPECT_EQ(late.step(), Outcome::not_positive_definite);
  EXPECT_EQ(late.theta(), theta);
  for (double element : theta) EXPECT_TRUE(std::isfinite(element));
  EXPECT_LT(late.loss(), 1e-300);
}

}  // namespace

}  // namespace natgrad::tests
