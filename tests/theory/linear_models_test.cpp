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

template <class T = double>
class ScoringFit {
 public:
  ScoringFit(const Data& data, const Numbers& start)
      : net_(test_context(), {.sizes = {static_cast<std::int64_t>(data.inputs.columns), 1},
                              .likelihood = data.likelihood,
                              .type = element_type_of<T>}),
        inputs_(data.inputs),
        targets_(column(data.y)),
        optimizer_(net_.parameters(),
                   {.damping = {.absolute = 0}, .step = FixedRate{1}, .momentum = NoMomentum{}}) {
    Tensor<T> theta(start);
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
    Tensor<T> values = zeros<T>(net_.parameters().size());
    net_.parameters().gather(values.view());
    return values.numbers();
  }
  double loss() {
    net_.forward(inputs_.view());
    return net_.evaluate(targets_.view()).loss;
  }

 private:
  FullyConnected net_;
  Tensor<T> inputs_;
  Tensor<T> targets_;
  NaturalGradient optimizer_;
};

TEST(theory, linear_models_reach_the_estimate_of_least_squares_in_ten_steps) {
  for (const Data& data :
       {o_rings(), trial_counts(), drawn(Likelihood::bernoulli), drawn(Likelihood::poisson)}) {
    SCOPED_TRACE(data.name);
    const Numbers estimate = least_squares_estimate(data);
    if (data.likelihood == Likelihood::bernoulli) {
      for (double coefficient : estimate) EXPECT_LT(std::abs(coefficient), 3);
    }
    ScoringFit<double> fit(data, starting_point(data));
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

/// Eight numbers that tell zeros from ones.
Data separable() {
  return {"separable",
          Likelihood::bernoulli,
          column({-2, -1.5, -1, -0.5, 0.5, 1, 2, 3}),
          {0, 0, 0, 0, 1, 1, 1, 1}};
}

/// A group, marked in the first column, whose targets are all 1, or all 0, beside others that have
/// a finite estimate.
Data separable_in_part(Likelihood likelihood) {
  const bool counts = likelihood == Likelihood::poisson;
  Table inputs(10, 2);
  Numbers y;
  for (std::size_t n = 0; n < inputs.rows; ++n) {
    inputs(n, 0) = n < 4 ? 1 : 0;
    inputs(n, 1) = static_cast<double>(n % 5) - 2;
    const double other = counts ? static_cast<double>(n % 4) : static_cast<double>(n % 2);
    y.push_back(n < 4 ? (counts ? 0 : 1) : other);
  }
  return {std::string("in part, ") + to_string(likelihood), likelihood, inputs, y};
}

/// Takes steps until one fails, which must be so within 60; then it stays.
template <class T>
void expect_to_end(const Data& data, double largest_output) {
  SCOPED_TRACE(data.name + (sizeof(T) == sizeof(float) ? ", float" : ", double"));
  ScoringFit<T> fit(data, Numbers(data.inputs.columns + 1, 0.0));
  const double first = fit.loss();
  Outcome outcome = Outcome::accepted;
  int steps = 0;
  for (; steps < 60 && outcome == Outcome::accepted; ++steps) outcome = fit.step();
  EXPECT_EQ(outcome, Outcome::not_positive_definite);
  EXPECT_GT(steps, 10);
  const Numbers theta = fit.theta();
  EXPECT_EQ(fit.step(), Outcome::not_positive_definite);
  EXPECT_EQ(fit.theta(), theta);
  EXPECT_LT(fit.loss(), first);
  for (std::size_t n = 0; n < data.y.size(); ++n) {
    double z = theta.back();
    for (std::size_t j = 0; j < data.inputs.columns; ++j) z += theta[j] * data.inputs(n, j);
    EXPECT_LT(std::abs(z), largest_output) << n;  // a NaN is not less
  }
}

/// Without a finite estimate the outputs grow by about one each step, and F and g vanish together:
/// F^-1 g remains a step. The run ends where outputs and targets agree to all digits of the net's
/// type, and no information is left: at outputs of log(1 / eps), 16 in float and 36 in double.
TEST(theory, linear_models_of_separable_data_end_with_a_named_outcome) {
  // The farthest sample is six times as far as the nearest one.
  expect_to_end<float>(separable(), 6 * 20);
  expect_to_end<double>(separable(), 6 * 40);
  for (Likelihood likelihood : {Likelihood::bernoulli, Likelihood::poisson}) {
    expect_to_end<float>(separable_in_part(likelihood), 20);
    expect_to_end<double>(separable_in_part(likelihood), 40);
  }
}

/// Until then every step is one of scoring, and lowers the loss.
TEST(theory, linear_models_of_separable_data_improve_until_they_end) {
  ScoringFit<double> fit(separable(), {0, 0});
  double loss = fit.loss();
  for (int step = 0; step < 20; ++step) {
    ASSERT_EQ(fit.step(), Outcome::accepted);
    const double next = fit.loss();
    EXPECT_LT(next, loss);
    loss = next;
  }
  EXPECT_LT(loss, 1e-8);
  // Begun far beyond the end, nothing moves.
  ScoringFit<double> late(separable(), {1400, 0});
  EXPECT_EQ(late.step(), Outcome::not_positive_definite);
  EXPECT_EQ(late.theta(), (Numbers{1400, 0}));
  EXPECT_LT(late.loss(), 1e-300);
}

/// Saturated against its target a sample keeps its score, which takes the step back.
TEST(theory, linear_models_come_back_from_a_saturated_mistake) {
  const Data data{"mistaken", Likelihood::bernoulli, column({-1, -0.5, 0.5, 1}), {1, 1, 0, 0}};
  ScoringFit<double> fit(data, {90, 0});
  EXPECT_EQ(fit.step(), Outcome::accepted);
  EXPECT_LT(fit.theta()[0], 90);
}

}  // namespace

}  // namespace natgrad::tests
