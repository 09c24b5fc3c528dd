#include "natgrad/natgrad.hpp"
#include "support/device.hpp"
#include "support/layered_batch.hpp"
#include "support/loop.hpp"
#include "support/plain.hpp"
#include "support/tolerance.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numbers>
#include <variant>
#include <vector>

// From the direction to the step: rates, schedules, the largest norm, factors and frozen tensors.
// Everything in double, against the formulas written plainly.

namespace natgrad::tests {

namespace {

/// Steps over a plain batch, with all that a rule follows from.
struct RuledTraining {
  LayeredBatch<double> batch{{.layers = layers, .samples = 12, .seed = 30}};
  Tensor<double> weights{Numbers(12, 1.0 / 12)};
  LayerScores scores{batch.parameters, {.kind = FisherKind::sampled}};
  Tensor<double> coefficients{Random(31).numbers(12)};
  NaturalGradient optimizer;
  explicit RuledTraining(const Options& options) : optimizer(batch.parameters, options) {}

  StepReport step() {
    batch.fill(scores, {.weights = weights.view(), .coefficients = coefficients.view()});
    optimizer.step(scores);
    return optimizer.report();
  }
  StepReport failing_step() {
    weights(2) = nan;
    const StepReport report = step();
    weights(2) = 1.0 / 12;
    EXPECT_EQ(report.outcome, Outcome::not_finite);
    return report;
  }
  Table S() const { return weighted(batch.rows, batch.uniform_weights()); }
  Numbers direction(double lambda) {
    return damped_direction(S(), lambda,
                            right_hand_side(batch.uniform_weights(), coefficients.numbers()));
  }
};

double square(const Numbers& x) { return dot(x, x); }

TEST(loop, a_schedule_counts_accepted_steps) {
  for (RateDecay decay : {RateDecay::none, RateDecay::linear, RateDecay::cosine}) {
    for (const StepRule& rule : std::initializer_list<StepRule>{
             FixedRate{0.4}, KlTrustRegion{.radius = 1e9, .max_rate = 0.4}}) {
      RuledTraining run({.step = rule, .schedule = {.decay = decay, .steps = 4}});
      for (int k = 0; k < 6; ++k) {
        SCOPED_TRACE(testing::Message() << static_cast<int>(decay) << ", step " << k);
        const double done = std::min(1.0, k / 4.0);
        const double factor = decay == RateDecay::none ? 1
                              : decay == RateDecay::linear
                                  ? 1 - done
                                  : (1 + std::cos(std::numbers::pi * done)) / 2;
        run.failing_step();
        const Numbers before = run.batch.theta_numbers();
        const StepReport report = run.step();
        EXPECT_TRUE(within(report.rate, 0.4 * factor, same));
        if (k >= 4 && decay != RateDecay::none) {
          EXPECT_EQ(run.batch.theta_numbers(), before);
        }
      }
    }
  }
}

TEST(loop, a_rate_can_be_set_at_any_time) {
  for (bool ball : {false, true}) {
    const StepRule rule = ball ? StepRule(KlTrustRegion{.radius = 1e9}) : StepRule(FixedRate{0.5});
    RuledTraining run({.step = rule, .weight_decay = 0.5});
    run.optimizer.set_rate(0.25);
    EXPECT_EQ(run.step().rate, 0.25);
    run.optimizer.set_rate(2);
    EXPECT_EQ(run.step().rate, 2);
    EXPECT_THROW(run.optimizer.set_rate(2.5), OptionError);  // times the weight decay
    for (double bad : {0.0, -1.0, nan, std::numeric_limits<double>::infinity()}) {
      EXPECT_THROW(run.optimizer.set_rate(bad), OptionError);
    }
    EXPECT_EQ(run.step().rate, 2);
    const StepRule& step = run.optimizer.options().step;
    EXPECT_EQ(ball ? std::get<KlTrustRegion>(step).max_rate : std::get<FixedRate>(step).rate, 2);
    if (ball) {
      EXPECT_EQ(std::get<KlTrustRegion>(step).radius, 1e9);
    }
  }
}

TEST(loop, a_damping_can_be_set_at_any_time) {
  for (Form form : forms) {
    RuledTraining run({.damping = {.absolute = 9}, .momentum = NoMomentum{}, .form = form});
    const double mean = trace(gram(run.S())) / 12;
    Numbers theta = run.batch.theta_numbers();
    for (const Damping& set : {Damping{.absolute = 0.5}, Damping{.absolute = 0, .relative = 0.25},
                               Damping{.absolute = 0.1, .relative = 2}}) {
      run.optimizer.set_damping(set);
      const double lambda = set.absolute + set.relative * mean;
      EXPECT_TRUE(within(run.step().damping, lambda, same * lambda));
      theta = sum(0.3, run.direction(lambda), theta);
      EXPECT_TRUE(relative_error_within(run.batch.theta_numbers(), theta, same));
    }
    EXPECT_THROW(run.optimizer.set_damping({.absolute = nan}), OptionError);
    EXPECT_THROW(run.optimizer.set_damping({.relative = -1}), OptionError);
    EXPECT_EQ(run.optimizer.options().damping.relative, 2);
  }
}

TEST(loop, a_kl_ball_has_its_radius) {
  for (Form form : forms) {
    for (const Momentum& momentum : momenta) {
      SCOPED_TRACE(testing::Message() << to_string(form) << ", momentum " << momentum.index());
      constexpr double radius = 2e-4;
      RuledTraining run({.damping = {.absolute = 0.1},
                         .step = KlTrustRegion{.radius = radius, .max_rate = 50},
                         .momentum = momentum,
                         .form = form});
      for (int step = 0; step < 3; ++step) {
        const Numbers before = run.batch.theta_numbers();
        const StepReport report = run.step();
        EXPECT_LT(report.rate, 50);
        EXPECT_TRUE(
            within(report.rate, std::sqrt(2 * radius / report.quadratic_form), same * report.rate));
        ASSERT_TRUE(report.predicted_kl.has_value());
        EXPECT_TRUE(within(*report.predicted_kl, radius, same * radius));
        // The step that was taken, measured with F itself.
        const Numbers moved = multiply(run.S(), sum(-1, before, run.batch.theta_numbers()));
        EXPECT_TRUE(within(square(moved) / 2, radius, 1e-9 * radius));
      }
      RuledTraining capped({.step = KlTrustRegion{.radius = 1e3, .max_rate = 0.125},
                            .momentum = momentum,
                            .form = form});
      const StepReport report = capped.step();
      EXPECT_EQ(report.rate, 0.125);
      EXPECT_LT(*report.predicted_kl, 1e3);
    }
  }
}

TEST(loop, a_direction_of_zero_has_the_largest_rate) {
  for (Form form : forms) {
    RuledTraining run(
        {.step = KlTrustRegion{.radius = 1e-3, .max_rate = 0.75}, .max_norm = 1e-3, .form = form});
    for (std::size_t n = 0; n < 12; ++n) run.coefficients(n) = 0;
    const Numbers before = run.batch.theta_numbers();
    const StepReport report = run.step();
    EXPECT_EQ(report.outcome, Outcome::accepted);
    EXPECT_EQ(report.rate, 0.75);
    EXPECT_EQ(report.quadratic_form, 0);
    EXPECT_EQ(report.predicted_kl, 0.0);
    EXPECT_EQ(run.batch.theta_numbers(), before);
  }
}

TEST(loop, a_kl_ball_takes_empirical_rows_only_when_told) {
  const LayeredBatch<double> batch({.layers = layers, .samples = 6});
  NaturalGradient strict(batch.parameters, {.step = KlTrustRegion{}});
  const LayerScores scores = batch.scores();
  Tensor<double> direction = zeros<double>(23);
  expect_refused("KlTrustRegion needs rows of the Fisher", [&] { strict.step(scores); });
  expect_refused("KlTrustRegion needs rows of the Fisher", [&] { strict.accumulate(scores); });
  NaturalGradient loose(batch.parameters, {.step = KlTrustRegion{.allow_empirical = true}});
  loose.step(scores);
  EXPECT_EQ(loose.report().outcome, Outcome::accepted);
  EXPECT_FALSE(loose.report().predicted_kl.has_value());
}

TEST(loop, no_step_is_longer_than_the_largest_norm) {
  for (Form form : forms) {
    for (const Momentum& momentum : momenta) {
      for (const StepRule& rule : std::initializer_list<StepRule>{
               FixedRate{0.5}, KlTrustRegion{.radius = 10, .max_rate = 0.5}}) {
        for (const std::vector<SegmentFactor>& factors :
             std::initializer_list<std::vector<SegmentFactor>>{{}, {{{0}, 3}, {{1}, 0}}}) {
          const auto length_of_step = [&](double max_norm) {
            RuledTraining run({.step = rule,
                               .max_norm = max_norm,
                               .momentum = momentum,
                               .rate_factors = factors,
                               .form = form});
            run.step();
            const Numbers before = run.batch.theta_numbers();
            const double rate = run.step().rate;
            EXPECT_TRUE(rate <= 0.5);
            return std::sqrt(square(sum(-1, before, run.batch.theta_numbers())));
          };
          const double free = length_of_step(std::numeric_limits<double>::infinity());
          EXPECT_TRUE(within(length_of_step(free / 10), free / 10, 1e-10 * free));
          // The first step may have been longer than the second: twice both is no limit.
          EXPECT_TRUE(within(length_of_step(free * 100), free, same * free));
        }
      }
    }
  }
}

// Factors.

TEST(loop, factors_scale_the_final_step_and_its_decay) {
  for (Form form : forms) {
    for (const Momentum& momentum : momenta) {
      SCOPED_TRACE(testing::Message() << to_string(form) << ", momentum " << momentum.index());
      RuledTraining run({.damping = {.absolute = 0.1},
                         .step = FixedRate{0.25},
                         .momentum = momentum,
                         .weight_decay = 0.5,
                         .rate_factors = {{{0}, 2}, {{2}, 0.5}},
                         .weight_decay_factors = {{{1}, 0}, {{2}, 3}},
                         .form = form});
      Numbers scale;
      Numbers decay;
      for (int segment = 0; segment < run.batch.parameters.segments(); ++segment) {
        const auto size = static_cast<std::size_t>(run.batch.parameters.tensor({segment}).size());
        scale.insert(scale.end(), size, segment == 0 ? 2 : segment == 2 ? 0.5 : 1);
        decay.insert(decay.end(), size, segment == 1 ? 0 : segment == 2 ? 3 : 1);
      }
      Numbers theta = run.batch.theta_numbers();
      Numbers v(23, 0.0);
      const Table S = run.S();
      const Numbers r = right_hand_side(run.batch.uniform_weights(), run.coefficients.numbers());
      for (int step = 0; step < 3; ++step) {
        if (const auto* spring = std::get_if<Spring>(&momentum)) {
          v = sum(spring->decay, v,
                  damped_direction(S, 0.1, sum(-spring->decay, multiply(S, v), r)));
        } else {
          const auto* ball = std::get_if<HeavyBall>(&momentum);
          v = sum(ball == nullptr ? 0 : ball->decay, v, damped_direction(S, 0.1, r));
        }
        Numbers scaled = v;
        for (std::size_t i = 0; i < 23; ++i) {
          scaled[i] *= scale[i];
          theta[i] = (1 - 0.25 * 0.5 * decay[i]) * theta[i] + 0.25 * scaled[i];
        }
        const StepReport report = run.step();
        EXPECT_TRUE(relative_error_within(run.batch.theta_numbers(), theta, same));
        const double quadratic = square(multiply(S, scaled));
        EXPECT_TRUE(within(report.quadratic_form, quadratic, 10 * same * quadratic));
        EXPECT_TRUE(within(*report.predicted_kl, 0.5 * 0.25 * 0.25 * quadratic, same * quadratic));
      }
    }
  }
}

/// Rows of the tensors that are not frozen, as rows of parameters that have no others.
struct Remaining {
  LayeredBatch<double> batch{{.layers = layers, .samples = 12, .seed = 30}};
  Parameters parameters{test_context()};
  Tensor<double> coefficients{Random(31).numbers(12)};
  std::vector<LayerScores::Layer> moving;

  Remaining() {
    // Of the tensors W1 (3, 4), b1 (3), W2 (2, 3), b3 (2) the first and the third are frozen.
    const Segment b1 = parameters.add(batch.theta[1].view());
    const Segment b3 = parameters.add(batch.theta[3].view());
    moving = {{.bias = b1, .output_score = batch.layers[0].output_score},
              {.bias = b3, .output_score = batch.layers[2].output_score}};
  }
  LayerScores scores() {
    LayerScores scores(parameters, {.kind = FisherKind::sampled});
    scores.begin({.samples = 12, .coefficients = coefficients.view()});
    for (const LayerScores::Layer& layer : moving) scores.add(layer);
    return scores;
  }
};

TEST(loop, frozen_tensors_are_not_there) {
  for (Form form : {Form::automatic, Form::primal, Form::dual}) {
    for (const Momentum& momentum : momenta) {
      for (bool dense : {false, true}) {
        SCOPED_TRACE(testing::Message() << to_string(form) << ", momentum " << momentum.index()
                                        << (dense ? ", dense" : ""));
        Options options{.damping = {.absolute = 0.02, .relative = 0.5},
                        .step = KlTrustRegion{.radius = 1e-2, .max_rate = 5},
                        .max_norm = 0.9,
                        .momentum = momentum,
                        .weight_decay = 0.1,
                        .l2 = 0.03,
                        .form = form};
        Remaining remaining;
        NaturalGradient of_remaining(remaining.parameters, options);
        options.rate_factors = {{{0}, 0}, {{2}, 0}};
        RuledTraining run(options);
        Tensor<double> rows(run.batch.rows);
        DenseScores dense_rows(run.batch.parameters, {.kind = FisherKind::sampled});
        const auto frozen = run.batch.theta_memory();
        for (int step = 0; step < 3; ++step) {
          if (dense) {
            dense_rows.begin(rows.view(), {.coefficients = run.coefficients.view()});
            run.optimizer.step(dense_rows);
          } else {
            run.step();
          }
          of_remaining.step(remaining.scores());
          expect_same_report(run.optimizer.report(), of_remaining.report());
          const auto theta = run.batch.theta_memory();
          EXPECT_TRUE(same_bits(theta[0], frozen[0]));
          EXPECT_TRUE(same_bits(theta[2], frozen[2]));
          for (std::size_t moving : {1, 3}) {
            EXPECT_TRUE(relative_error_within(run.batch.theta[moving].numbers(),
                                              remaining.batch.theta[moving].numbers(), same));
          }
        }
      }
    }
  }
}

TEST(loop, frozen_tensors_do_not_count_where_damping_may_be_zero) {
  // 12 rows are fewer than all 23 parameters, and more than the 5 that move.
  RuledTraining run({.damping = {.absolute = 0},
                     .step = FixedRate{1},
                     .momentum = NoMomentum{},
                     .rate_factors = {{{0}, 0}, {{2}, 0}}});
  Tensor<double> gradient(Random(32).numbers(23));
  run.batch.fill(run.scores);
  const Numbers before = run.batch.theta_numbers();
  run.optimizer.step({.fisher = run.scores, .gradient = Gradient{gradient.view()}});
  EXPECT_EQ(run.optimizer.report().form, Form::primal);
  const Table S = run.S();
  Table moving(12, 5);
  Numbers g(5);
  Numbers step(23, 0.0);
  const std::size_t columns[] = {12, 13, 14, 21, 22};
  for (std::size_t j = 0; j < 5; ++j) {
    g[j] = gradient(columns[j]);
    for (std::size_t n = 0; n < 12; ++n) moving(n, j) = S(n, columns[j]);
  }
  const Numbers d = solve(gram(transposed(moving)), 0, g);
  for (std::size_t j = 0; j < 5; ++j) step[columns[j]] = d[j];
  EXPECT_TRUE(relative_error_within(run.batch.theta_numbers(), sum(1, before, step), 10 * same));
}

TEST(loop, a_direction_is_zero_where_tensors_are_frozen) {
  for (Form form : forms) {
    Remaining remaining;
    NaturalGradient of_remaining(remaining.parameters, {.form = form});
    Tensor<double> few = zeros<double>(5);
    of_remaining.direction(remaining.scores(), few.view());
    RuledTraining run({.rate_factors = {{{0}, 0}, {{2}, 0}, {{3}, 4}}, .form = form});
    run.batch.fill(run.scores, {.coefficients = run.coefficients.view()});
    Tensor<double> all(Numbers(23, 5.0));
    run.optimizer.direction(run.scores, all.view());
    Numbers expected(23, 0.0);
    for (std::size_t i = 0; i < 3; ++i) expected[12 + i] = few(i);
    for (std::size_t i = 0; i < 2; ++i) expected[21 + i] = few(3 + i);
    EXPECT_TRUE(relative_error_within(all.numbers(), expected, same));
    for (std::size_t i = 0; i < 23; ++i) {
      if (expected[i] == 0) {
        EXPECT_EQ(all(i), 0);
      }
    }
  }
}

}  // namespace

}  // namespace natgrad::tests
