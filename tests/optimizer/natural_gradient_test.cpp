#include "natgrad/natural_gradient.hpp"

#include "natgrad/natgrad.hpp"
#include "support/device.hpp"
#include "support/direction_bound.hpp"
#include "support/layered_batch.hpp"
#include "support/plain.hpp"
#include "support/tolerance.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstdint>
#include <string>
#include <variant>
#include <vector>

// Steps against the formulas written plainly.

namespace natgrad::tests {

namespace {

constexpr std::array forms{Form::primal, Form::dual};
const std::array<Momentum, 3> momenta{NoMomentum{}, HeavyBall{0.7}, Spring{0.8}};

const char* name_of(const Momentum& momentum) {
  constexpr std::array names{"no momentum", "heavy ball", "spring"};
  return names[momentum.index()];
}

const std::vector<LayerShape> layers = {{.inputs = 4, .outputs = 3},
                                        {.inputs = 3, .outputs = 2, .bias = false},
                                        {.inputs = 0, .outputs = 2}};

/// theta and the momentum, moved by the formulas in natural_gradient.hpp.
struct PlainOptimizer {
  Numbers theta;
  Numbers momentum;
  double rate;
  double shrink;  // rate * weight decay
  Momentum rule;

  void step(const Table& S, const Numbers& r, double damping) {
    Numbers direction;
    if (const auto* spring = std::get_if<Spring>(&rule)) {
      const Numbers left = sum(-spring->decay, multiply(S, momentum), r);
      direction = sum(spring->decay, momentum, damped_direction(S, damping, left));
    } else {
      direction = damped_direction(S, damping, r);
      if (const auto* ball = std::get_if<HeavyBall>(&rule)) {
        direction = sum(ball->decay, momentum, direction);
      }
    }
    momentum = direction;
    for (std::size_t i = 0; i < theta.size(); ++i) {
      theta[i] = (1 - shrink) * theta[i] + rate * direction[i];
    }
  }
};

/// Three steps on three batches of different sizes, each with weights and coefficients.
template <class T>
void check_steps(const Momentum& momentum, Form form, std::size_t padding) {
  SCOPED_TRACE(testing::Message() << name_of(momentum) << ", " << to_string(form) << ", "
                                  << to_string(element_type_of<T>));
  constexpr ElementType type = element_type_of<T>;
  LayeredBatch<T> net({.layers = layers, .seed = 40, .padding = padding});
  const auto p = static_cast<std::size_t>(net.parameters.size());
  PlainOptimizer plain{.theta = net.theta_numbers(),
                       .momentum = Numbers(p, 0.0),
                       .rate = 0.25,
                       .shrink = 0.25 * 0.1,
                       .rule = momentum};
  NaturalGradient optimizer(net.parameters, {.damping = {.absolute = 0.02, .relative = 0.5},
                                             .step = FixedRate{0.25},
                                             .momentum = momentum,
                                             .weight_decay = 0.1,
                                             .form = form});
  LayerScores scores(net.parameters, {.kind = FisherKind::exact});
  Random random(41);
  double bound = 0;
  for (std::size_t samples : {12, 30, 5}) {
    const LayeredBatch<T> batch(
        {.layers = layers, .samples = samples, .seed = samples, .padding = padding});
    Numbers w = random.numbers(samples);
    for (double& value : w) value = std::abs(value) / static_cast<double>(samples);
    Tensor<T> weights(w);
    Tensor<T> coefficients(random.numbers(samples));
    scores.begin({.samples = static_cast<std::int64_t>(samples),
                  .weights = weights.view(),
                  .coefficients = coefficients.view()});
    for (const LayerScores::Layer& layer : batch.layers) scores.add(layer);
    optimizer.step(scores);

    const Table S = weighted(batch.rows, weights.numbers());
    const Numbers r = right_hand_side(weights.numbers(), coefficients.numbers());
    const double rank = static_cast<double>(std::min(samples, p));
    const double damping = 0.02 + 0.5 * trace(gram(S)) / rank;
    plain.step(S, r, damping);
    // What one step errs by adds to the momentum's errors of those before.
    const double one = direction_bound(S, type, damping);
    bound += one;

    const StepReport report = optimizer.report();
    EXPECT_EQ(report.outcome, Outcome::accepted);
    EXPECT_EQ(report.form, form);
    EXPECT_EQ(report.rate, 0.25);
    EXPECT_TRUE(within(report.damping, damping, sum_bound(1000, type, damping)));
    EXPECT_TRUE(report.residual <= one);
    const Numbers rows = multiply(S, plain.momentum);
    const double magnitude = trace(gram(S)) * dot(plain.momentum, plain.momentum);
    EXPECT_TRUE(within(report.quadratic_form, dot(rows, rows), 2 * bound * magnitude));
    ASSERT_TRUE(report.predicted_kl.has_value());
    EXPECT_EQ(*report.predicted_kl, 0.5 * 0.25 * 0.25 * report.quadratic_form);
    EXPECT_TRUE(relative_error_within(net.theta_numbers(), plain.theta, bound));
  }
  EXPECT_EQ(optimizer.report().step, 3);
}

TEST(natural_gradient, steps_follow_the_formulas) {
  for (const Momentum& momentum : momenta) {
    for (Form form : forms) {
      check_steps<double>(momentum, form, 0);
      check_steps<float>(momentum, form, 0);
    }
  }
}

TEST(natural_gradient, steps_move_padded_tensors) {
  for (Form form : forms) check_steps<float>(Spring{0.8}, form, 3);
}

TEST(natural_gradient, a_step_writes_nothing_between_the_rows_of_a_tensor) {
  LayeredBatch<float> batch({.layers = layers, .samples = 6, .padding = 2});
  const auto before = batch.theta_memory();
  NaturalGradient optimizer(batch.parameters);
  optimizer.step(batch.scores());
  const auto after = batch.theta_memory();
  for (std::size_t segment = 0; segment < after.size(); ++segment) {
    const auto columns =
        static_cast<std::size_t>(batch.parameters.tensor({static_cast<int>(segment)}).columns());
    for (std::size_t i = 0; i < after[segment].size(); ++i) {
      const bool element = i % (columns + 2) < columns;
      const bool same = std::memcmp(&after[segment][i], &before[segment][i], sizeof(float)) == 0;
      EXPECT_EQ(same, !element) << "segment " << segment << ", element " << i;
    }
  }
}

TEST(natural_gradient, predicts_the_kl_of_fisher_rows_only) {
  for (FisherKind kind :
       {FisherKind::empirical, FisherKind::sampled, FisherKind::exact, FisherKind::residual}) {
    const LayeredBatch<float> batch({.layers = layers, .samples = 6});
    NaturalGradient optimizer(batch.parameters);
    const LayerScores data = batch.scores();
    optimizer.step({.fisher = batch.scores({}, {.kind = kind}), .gradient = data});
    const bool fisher = kind == FisherKind::sampled || kind == FisherKind::exact;
    EXPECT_EQ(optimizer.report().predicted_kl.has_value(), fisher) << to_string(kind);
  }
}

TEST(natural_gradient, a_step_has_the_error_bound_of_its_solve) {
  const LayeredBatch<float> batch({.layers = layers, .samples = 6});
  const Table S = weighted(batch.rows, batch.uniform_weights());
  for (Form form : forms) {
    NaturalGradient optimizer(batch.parameters, {.damping = {.absolute = 0.1}, .form = form});
    optimizer.step(batch.scores());
    const Table A = form == Form::dual ? gram(S) : gram(transposed(S));
    // The primal form is in double, and d rounded where it is stored.
    const double single = epsilon(ElementType::float32);
    const double factor = form == Form::dual ? single : 4 * epsilon(ElementType::float64);
    const double rounding = form == Form::dual ? 0 : single / 2;
    // Well-conditioned systems amplify less, and no bound is below some roundings.
    const double most = factor * std::min(trace(A), infinity_norm(A)) / 0.1 + rounding;
    EXPECT_LE(optimizer.report().error_bound, most * (1 + sum_bound(50, ElementType::float32, 1)));
    EXPECT_GE(optimizer.report().error_bound, 8 * factor);
  }
}

TEST(natural_gradient, the_ring_keeps_the_last_reports) {
  const LayeredBatch<double> batch({.layers = layers, .samples = 6});
  NaturalGradient optimizer(batch.parameters);
  const LayerScores scores = batch.scores();
  EXPECT_TRUE(optimizer.reports().empty());
  EXPECT_THROW(optimizer.report(), ArgumentError);
  const auto expect_steps = [&](std::int64_t first, std::int64_t last) {
    synchronize_device();  // reports() itself does not wait
    const std::vector<StepReport> reports = optimizer.reports();
    ASSERT_EQ(static_cast<std::int64_t>(reports.size()), last - first + 1);
    for (std::size_t i = 0; i < reports.size(); ++i) {
      EXPECT_EQ(reports[i].step, first + static_cast<std::int64_t>(i));
      EXPECT_EQ(reports[i].outcome, Outcome::accepted);
    }
  };
  const auto take_steps = [&](int count) {
    for (int i = 0; i < count; ++i) optimizer.step(scores);
  };
  take_steps(3);
  expect_steps(1, 3);
  take_steps(1);
  EXPECT_EQ(optimizer.report().step, 4);  // and is still new to reports()
  expect_steps(4, 4);
  EXPECT_TRUE(optimizer.reports().empty());
  take_steps(64);
  expect_steps(5, 68);
  take_steps(70);
  expect_steps(75, 138);
}

TEST(natural_gradient, takes_the_form_that_the_matrix_would_take) {
  const auto form_of = [](std::size_t samples, double damping) {
    const LayeredBatch<double> batch({.layers = layers, .samples = samples});
    NaturalGradient optimizer(batch.parameters, {.damping = {.absolute = damping}});
    optimizer.step(batch.scores());
    EXPECT_EQ(optimizer.report().outcome, Outcome::accepted);
    FisherMatrix fisher(batch.parameters, {.damping = {.absolute = damping}});
    fisher.accumulate(batch.scores());
    EXPECT_EQ(optimizer.report().form, fisher.form());
    return fisher.form();
  };
  EXPECT_EQ(form_of(5, 0.1), Form::dual);
  EXPECT_EQ(form_of(500, 0.1), Form::primal);
  EXPECT_EQ(form_of(24, 0), Form::primal);  // P = 23
}

TEST(natural_gradient, small_steps_raise_the_likelihood) {
  Random random(50);
  FullyConnected net(test_context(), {.sizes = {6, 8, 3}, .seed = 2});
  Tensor<float> inputs(random.table(40, 6));
  SharedVector<std::int32_t> labels;
  for (std::size_t n = 0; n < 40; ++n)
    labels.push_back(inputs(n, 0) > inputs(n, 1) ? 0 : inputs(n, 2) > 0 ? 1 : 2);
  const View label_view = shared_view(labels, {40, 1});
  NaturalGradient optimizer(net.parameters());
  LayerScores scores(net.parameters());
  double first = 0;
  double last = 0;
  for (int step = 0; step < 30; ++step) {
    net.forward(inputs.view());
    last = net.evaluate(label_view).loss;
    if (step == 0) first = last;
    net.backward(label_view);
    net.add_to(scores, {.samples = 40});
    optimizer.step(scores);
  }
  EXPECT_GT(first, 0.5);
  EXPECT_TRUE(last < 0.05) << last;
}

TEST(natural_gradient, optimizers_can_be_moved) {
  const LayeredBatch<float> batch({.layers = layers, .samples = 6});
  NaturalGradient first(batch.parameters, {.step = FixedRate{0.125}});
  first.step(batch.scores());
  NaturalGradient second = std::move(first);
  second.step(batch.scores());
  EXPECT_EQ(second.report().step, 2);
  EXPECT_EQ(std::get<FixedRate>(second.options().step).rate, 0.125);
}

}  // namespace

}  // namespace natgrad::tests
