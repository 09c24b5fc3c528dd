#include "natgrad/natgrad.hpp"
#include "support/layered_batch.hpp"
#include "support/plain.hpp"
#include "support/softmax_net.hpp"
#include "support/tolerance.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>

// Rows 5 and 6 of the table in docs/architecture.md: the KL divergence that a step predicts is the
// model's own, up to third order, and KlTrustRegion makes it what was asked for.

namespace natgrad::tests {

namespace {

/// Mean over the inputs of KL(p_before || p_after).
double divergence(const Table& before, const Table& after) {
  double sum = 0;
  for (std::size_t i = 0; i < before.elements.size(); ++i) {
    sum += std::exp(before.elements[i]) * (before.elements[i] - after.elements[i]);
  }
  return sum / static_cast<double>(before.rows);
}

struct Step {
  StepReport report;
  double divergence = 0;
};

/// One step from these rows and the data's gradient; the net is put back afterwards.
Step take_step(SoftmaxNet& model, const Scores& fisher, const KlTrustRegion& rule, Form form) {
  Tensor<double> theta(model.theta());
  const Table before = log_probabilities(model.net);
  NaturalGradient optimizer(
      model.net.parameters(),
      {.damping = {.absolute = 1e-2}, .step = rule, .momentum = NoMomentum{}, .form = form});
  const LayerScores data = model.data();
  optimizer.step({.fisher = fisher, .gradient = data});
  Step step{.report = optimizer.report()};
  EXPECT_EQ(step.report.outcome, Outcome::accepted);
  SoftmaxNet after({3, 4, 3}, model.samples);
  Tensor<double> moved(model.theta());
  after.net.parameters().scatter(moved.view());
  after.net.forward(model.inputs.view());
  step.divergence = divergence(before, log_probabilities(after.net));
  model.net.parameters().scatter(theta.view());
  return step;
}

TEST(kl_trust_region, predicts_the_divergence_of_the_model_to_third_order) {
  SoftmaxNet model({3, 4, 3}, 20);
  const ExactRows exact(model);
  for (Form form : {Form::primal, Form::dual}) {
    double error_before = 0;
    double radius = 1e-3;
    for (int halving = 0; halving < 4; ++halving, radius /= 4) {
      SCOPED_TRACE(testing::Message() << to_string(form) << ", radius " << radius);
      const Step step = take_step(model, exact.scores(), {.radius = radius, .max_rate = 1e3}, form);
      const double predicted = step.report.predicted_kl.value();
      EXPECT_TRUE(within(predicted, radius, rounding_bound(10, ElementType::float64, radius)));
      const double error = std::abs(step.divergence - predicted);
      EXPECT_LE(error, 0.1 * radius);
      // Above the rounding of the divergence itself, and 8 times smaller each time d halves.
      EXPECT_GT(error, sum_bound(60, ElementType::float64, 5));
      if (halving > 0) {
        EXPECT_GE(error_before / error, 7);
      }
      error_before = error;
    }
  }
}

TEST(kl_trust_region, comes_near_its_radius_with_sampled_rows) {
  SoftmaxNet model({3, 4, 3}, 20);
  const Step many =
      take_step(model, model.sampled(500), {.radius = 1e-4, .max_rate = 1e3}, Form::primal);
  EXPECT_TRUE(within(many.report.predicted_kl.value(), 1e-4, 1e-15));
  EXPECT_TRUE(within(many.divergence, 1e-4, 1e-5)) << "10,000 rows err by some percent";
  const Step fewer =
      take_step(model, model.sampled(50), {.radius = 1e-4, .max_rate = 1e3}, Form::dual);
  EXPECT_TRUE(within(fewer.divergence, 1e-4, 3e-5));
}

TEST(kl_trust_region, takes_no_more_than_its_largest_rate) {
  SoftmaxNet model({3, 4, 3}, 20);
  const ExactRows exact(model);
  const Step step = take_step(model, exact.scores(), {.radius = 10, .max_rate = 0.01}, Form::dual);
  EXPECT_EQ(step.report.rate, 0.01);
  const double predicted = step.report.predicted_kl.value();
  EXPECT_TRUE(within(predicted, 0.5 * 0.01 * 0.01 * step.report.quadratic_form,
                     rounding_bound(4, ElementType::float64, predicted)));
  EXPECT_LT(predicted, 10);
  EXPECT_TRUE(within(step.divergence, predicted, 0.1 * predicted));
}

TEST(kl_trust_region, refuses_the_empirical_matrix_unless_told_otherwise) {
  SoftmaxNet model({3, 4, 3}, 20);
  const Numbers theta = model.theta();
  const LayerScores data = model.data();
  NaturalGradient strict(model.net.parameters(), {.step = KlTrustRegion{}});
  EXPECT_THROW(strict.step(data), ArgumentError);
  EXPECT_THROW(strict.step({.fisher = data, .gradient = data}), ArgumentError);
  EXPECT_EQ(model.theta(), theta);
  NaturalGradient willing(model.net.parameters(), {.step = KlTrustRegion{.allow_empirical = true}});
  willing.step(data);
  EXPECT_EQ(willing.report().outcome, Outcome::accepted);
  EXPECT_FALSE(willing.report().predicted_kl.has_value());
}

}  // namespace

}  // namespace natgrad::tests
