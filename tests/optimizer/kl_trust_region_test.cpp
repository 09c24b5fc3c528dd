#include "natgrad/natgrad.hpp"
#include "support/layered_batch.hpp"
#include "support/plain.hpp"
#include "support/softmax_net.hpp"
#include "support/tolerance.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>

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

/// Steps with the model's own loss and divergence, which wait for the device here.
struct Measured {
  SoftmaxNet model{{3, 4, 3}, 20};
  Tensor<double> log_p{Numbers(20, 0.0)};
  Table before;
  int calls = 0;

  BatchFunction loss() {
    return [this](const View& result) {
      ++calls;
      model.net.forward(model.inputs.view());
      model.net.log_likelihood(view_of(model.labels), log_p.view());
      double sum = 0;
      for (double value : log_p.numbers()) sum -= value;
      const double mean = sum / 20;
      model.net.parameters().context().write(&mean, result);
    };
  }
  BatchFunction kl() {
    return [this](const View& result) {
      const double value = divergence(before, log_probabilities(model.net));
      model.net.parameters().context().write(&value, result);
    };
  }
  StepReport step(NaturalGradient& optimizer) {
    model.net.forward(model.inputs.view());
    model.net.backward(view_of(model.labels));
    const ExactRows exact(model);
    before = log_probabilities(model.net);
    const LayerScores data = model.data();
    optimizer.step({.fisher = exact.scores(), .gradient = data, .loss = loss(), .kl = kl()});
    return optimizer.report();
  }
};

TEST(kl_trust_region, with_trials_the_actual_divergence_is_within_the_radius) {
  for (Form form : {Form::primal, Form::dual}) {
    bool shortened = false;
    for (double radius : {1e-3, 0.1, 1.0, 5.0}) {
      SCOPED_TRACE(testing::Message() << to_string(form) << ", radius " << radius);
      Measured run;
      NaturalGradient optimizer(
          run.model.net.parameters(),
          {.damping = {.absolute = 1e-4},
           .step = KlTrustRegion{.radius = radius, .max_rate = 1e3, .trials = 12},
           .momentum = NoMomentum{},
           .form = form});
      for (int k = 0; k < 3; ++k) {
        const StepReport report = run.step(optimizer);
        ASSERT_EQ(report.outcome, Outcome::accepted);
        EXPECT_EQ(run.calls, 13 * (k + 1));
        run.model.net.forward(run.model.inputs.view());
        const double actual = divergence(run.before, log_probabilities(run.model.net));
        EXPECT_LE(actual, radius * (1 + 1e-3 + 1e-12));
        EXPECT_LE(report.loss_after.value(), report.loss_before.value());
        // Halved from where the predicted divergence is the radius.
        EXPECT_TRUE(within(report.predicted_kl.value(), radius * std::pow(0.25, report.trials - 1),
                           1e-9 * radius));
        if (report.trials == 1) {
          EXPECT_TRUE(within(report.actual_kl.value(), actual, 1e-12));
        }
        shortened = shortened || report.trials > 1;
      }
    }
    EXPECT_TRUE(shortened) << "a radius that is too large for the prediction";
  }
}

/// A linear net with outputs of a fixed variance, whose divergence is a quadratic and F its matrix.
template <class T>
void expect_the_first_rate_where_the_divergence_is_quadratic() {
  FullyConnected net(test_context(), {.sizes = {4, 2},
                                      .likelihood = Likelihood::gaussian,
                                      .sigma = 0.7,
                                      .type = element_type_of<T>});
  const auto size = static_cast<std::size_t>(net.parameters().size());
  Random random(11);
  Tensor<T> inputs(random.table(15, 4));
  Tensor<T> targets(random.table(15, 2));
  for (Form form : {Form::primal, Form::dual}) {
    for (double radius : {1e-4, 3e-3, 0.02, 0.05}) {
      SCOPED_TRACE(testing::Message() << to_string(element_type_of<T>) << ", " << to_string(form)
                                      << ", radius " << radius);
      Tensor<T> theta(Random(12).numbers(size));
      net.parameters().scatter(theta.view());
      NaturalGradient optimizer(
          net.parameters(), {.damping = {.absolute = 1e-2},
                             .step = KlTrustRegion{.radius = radius, .max_rate = 1e3, .trials = 3},
                             .momentum = NoMomentum{},
                             .form = form});
      LayerScores exact(net.parameters(), {.kind = FisherKind::exact});
      for (int k = 0; k < 3; ++k) {
        net.forward(inputs.view());
        net.compute_exact(targets.view());
        net.add_exact_to(exact, {.samples = 15});
        net.keep_outputs();
        optimizer.step({.fisher = exact,
                        .loss =
                            [&](const View& result) {
                              net.forward(inputs.view());
                              net.loss_to(targets.view(), result);
                            },
                        .kl =
                            [&](const View& result) {
                              net.forward(inputs.view());
                              net.kl_to(result);
                            }});
        const StepReport report = optimizer.report();
        EXPECT_EQ(report.outcome, Outcome::accepted);
        EXPECT_EQ(report.trials, 1);
        EXPECT_LT(report.rate, 1e3) << "the radius decides";
        EXPECT_TRUE(within(report.actual_kl.value(), radius, 1e-3 * radius));
      }
    }
  }
}

TEST(kl_trust_region, with_trials_rounding_does_not_refuse_the_first_rate) {
  expect_the_first_rate_where_the_divergence_is_quadratic<double>();
  expect_the_first_rate_where_the_divergence_is_quadratic<float>();
}

TEST(kl_trust_region, with_trials_a_step_that_is_never_within_the_radius_is_rejected) {
  Measured run;
  NaturalGradient optimizer(
      run.model.net.parameters(),
      {.step = KlTrustRegion{.radius = 1e-2, .trials = 4}, .momentum = NoMomentum{}});
  const ExactRows exact(run.model);
  const LayerScores data = run.model.data();
  const Numbers theta = run.model.theta();
  for (double reported : {1.0, std::numeric_limits<double>::quiet_NaN()}) {
    const auto kl = [&](const View& result) {
      run.model.net.parameters().context().write(&reported, result);
    };
    optimizer.step({.fisher = exact.scores(), .gradient = data, .loss = run.loss(), .kl = kl});
    const StepReport report = optimizer.report();
    EXPECT_EQ(report.outcome, Outcome::rejected);
    EXPECT_EQ(report.trials, 4);
    EXPECT_TRUE(report.actual_kl.has_value());
    EXPECT_EQ(run.model.theta(), theta);
  }
  // Both functions are asked for, by name.
  for (bool with_loss : {false, true}) {
    try {
      optimizer.step({.fisher = exact.scores(),
                      .gradient = data,
                      .loss = with_loss ? run.loss() : BatchFunction(),
                      .kl = with_loss ? BatchFunction() : run.kl()});
      ADD_FAILURE() << "nothing was thrown";
    } catch (const OptionError& error) {
      const std::string text = error.what();
      EXPECT_NE(text.find(with_loss ? ".kl" : ".loss"), std::string::npos) << text;
      EXPECT_NE(text.find("KlTrustRegion"), std::string::npos) << text;
    }
  }
}

TEST(kl_trust_region, a_failure_says_whether_loss_or_divergence_was_refused) {
  Measured run;
  const ExactRows exact(run.model);
  const LayerScores data = run.model.data();
  for (bool of_kl : {true, false}) {
    NaturalGradient optimizer(
        run.model.net.parameters(),
        {.step = KlTrustRegion{.radius = 1e-2, .trials = 2}, .momentum = NoMomentum{}});
    double loss = 5;
    const auto write = [&](const double& value, const View& result) {
      run.model.net.parameters().context().write(&value, result);
    };
    std::string text;
    // On a GPU the call after the tenth failure says so.
    for (int k = 0; k < 11; ++k) {
      try {
        optimizer.step({.fisher = exact.scores(),
                        .gradient = data,
                        .loss =
                            [&](const View& result) {
                              loss += of_kl ? -0.125 : 0.125;
                              write(loss, result);
                            },
                        .kl = [&](const View& result) { write(of_kl ? 0.25 : 1e-9, result); }});
        optimizer.report();  // so that the next step knows of this one
      } catch (const StepFailed& error) {
        text = error.what();
      }
    }
    const char* expected =
        of_kl ? "no trial was within the KL radius, the last had a divergence of 0.25 nats"
              : "no trial lowered the loss enough";
    EXPECT_NE(text.find(expected), std::string::npos) << text;
  }
}

TEST(kl_trust_region, refuses_a_radius_or_trials_that_are_none) {
  const SoftmaxNet model({3, 4, 3}, 20);
  for (const KlTrustRegion& bad :
       {KlTrustRegion{.radius = 0}, KlTrustRegion{.radius = -1}, KlTrustRegion{.trials = -1},
        KlTrustRegion{.trials = 65}, KlTrustRegion{.shrink = 1}, KlTrustRegion{.max_rate = 0}}) {
    EXPECT_THROW(NaturalGradient(model.net.parameters(), {.step = bad}), OptionError);
  }
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
