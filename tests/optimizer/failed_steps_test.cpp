#include "natgrad/natgrad.hpp"
#include "support/device.hpp"
#include "support/layered_batch.hpp"
#include "support/plain.hpp"
#include "support/tolerance.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <vector>

// Numbers that fail are a value in the report, and such a step has not happened.

namespace natgrad::tests {

namespace {

constexpr double inf = std::numeric_limits<double>::infinity();
constexpr double nan = std::numeric_limits<double>::quiet_NaN();
constexpr std::array forms{Form::primal, Form::dual};
const std::array<Momentum, 3> momenta{NoMomentum{}, HeavyBall{0.7}, Spring{0.8}};

const BatchShape shape{
    .layers = {{.inputs = 3, .outputs = 2}, {.inputs = 2, .outputs = 2}}, .samples = 8, .seed = 60};

template <class T>
using Break = std::function<void(LayeredBatch<T>&, Tensor<T>& weights, Tensor<T>& coefficients)>;

/// A batch with weights and coefficients, and an optimizer of its parameters.
template <class T>
struct Training {
  LayeredBatch<T> batch{shape};
  Tensor<T> weights{Numbers(8, 0.125)};
  Tensor<T> coefficients{Numbers(8, 1.0)};
  LayerScores scores{batch.parameters};
  NaturalGradient optimizer;

  explicit Training(const NaturalGradient::Options& options)
      : optimizer(batch.parameters, options) {}

  StepReport step() {
    batch.fill(scores, {.weights = weights.view(), .coefficients = coefficients.view()});
    optimizer.step(scores);
    return optimizer.report();
  }
};

/// A good step, one broken by `change`, which must end as `outcome` and leave no trace, and a good
/// one.
template <class T>
void expect_no_trace(const std::string& what, const NaturalGradient::Options& options,
                     const Break<T>& change, Outcome outcome,
                     NotFinite not_finite = NotFinite::nothing) {
  SCOPED_TRACE(testing::Message() << what << ", " << to_string(options.form) << ", momentum "
                                  << options.momentum.index());
  Training<T> run(options);
  Training<T> undisturbed(options);
  EXPECT_EQ(run.step().outcome, Outcome::accepted);
  EXPECT_EQ(undisturbed.step().outcome, Outcome::accepted);

  const auto theta = run.batch.theta;
  const auto factors = run.batch.factors;
  const auto weights = run.weights;
  const auto coefficients = run.coefficients;
  change(run.batch, run.weights, run.coefficients);
  const auto before = run.batch.theta_memory();
  const StepReport report = run.step();
  EXPECT_EQ(report.outcome, outcome) << to_string(report.outcome);
  if (not_finite != NotFinite::nothing) {
    EXPECT_EQ(report.not_finite, not_finite) << to_string(report.not_finite);
  }
  EXPECT_EQ(report.step, 2);
  EXPECT_EQ(report.failures_in_a_row, 1);
  const auto after = run.batch.theta_memory();
  for (std::size_t i = 0; i < after.size(); ++i) EXPECT_TRUE(same_bits(after[i], before[i]));

  // Everything as it was, in place: the views stay.
  const auto restore = [](std::vector<Tensor<T>>& to, const std::vector<Tensor<T>>& from) {
    for (std::size_t i = 0; i < to.size(); ++i) {
      const Table values = from[i].table();
      for (std::size_t r = 0; r < values.rows; ++r) {
        for (std::size_t c = 0; c < values.columns; ++c) to[i](r, c) = static_cast<T>(values(r, c));
      }
    }
  };
  restore(run.batch.theta, theta);
  restore(run.batch.factors, factors);
  run.weights = weights;
  run.coefficients = coefficients;
  EXPECT_EQ(run.step().failures_in_a_row, 0);
  undisturbed.step();
  const auto expected = undisturbed.batch.theta_memory();
  const auto actual = run.batch.theta_memory();
  for (std::size_t i = 0; i < actual.size(); ++i) EXPECT_TRUE(same_bits(actual[i], expected[i]));
}

template <class T>
void expect_no_trace(const std::string& what, const Break<T>& change,
                     NotFinite operand = NotFinite::nothing) {
  for (Form form : forms) {
    for (const Momentum& momentum : momenta) {
      expect_no_trace<T>(what, {.momentum = momentum, .form = form}, change, Outcome::not_finite,
                         operand);
    }
  }
  for (Structure structure : {Structure::block_diagonal, Structure::diagonal}) {
    expect_no_trace<T>(what, {.structure = structure}, change, Outcome::not_finite, operand);
  }
}

template <class T>
void check_not_finite() {
  for (double bad : {nan, inf}) {
    const T value = static_cast<T>(bad);
    const std::string name = std::to_string(bad);
    // factors: input and output score of the first layer, then those of the second.
    expect_no_trace<T>(
        name + " in an input", [=](auto& batch, auto&, auto&) { batch.factors[2](3, 1) = value; },
        NotFinite::rows);
    expect_no_trace<T>(
        name + " in an output score",
        [=](auto& batch, auto&, auto&) { batch.factors[1](7, 0) = value; }, NotFinite::rows);
    expect_no_trace<T>(
        name + " in a weight", [=](auto&, auto& w, auto&) { w(2) = value; }, NotFinite::rows);
    expect_no_trace<T>(
        name + " in a coefficient", [=](auto&, auto&, auto& c) { c(5) = value; },
        NotFinite::coefficients);
    expect_no_trace<T>(
        name + " in a parameter", [=](auto& batch, auto&, auto&) { batch.theta[3](1) = value; },
        NotFinite::parameters);
  }
  expect_no_trace<T>(
      "a negative weight", [](auto&, auto& w, auto&) { w(0) = -0.125; }, NotFinite::rows);
}

TEST(failed_steps, what_is_not_finite_leaves_no_trace_in_float) { check_not_finite<float>(); }
TEST(failed_steps, what_is_not_finite_leaves_no_trace_in_double) { check_not_finite<double>(); }

template <class T>
Break<T> enlarge(double factor) {
  return [=](auto& batch, auto&, auto&) {
    for (std::size_t n = 0; n < 8; ++n) {
      for (std::size_t j = 0; j < 2; ++j) batch.factors[1](n, j) *= static_cast<T>(factor);
    }
  };
}

TEST(failed_steps, finite_rows_that_overflow_leave_no_trace) {
  for (const Momentum& momentum : momenta) {
    expect_no_trace<float>("1e25", {.momentum = momentum, .form = Form::dual}, enlarge<float>(1e25),
                           Outcome::not_finite);
  }
  expect_no_trace<double>("1e200", enlarge<double>(1e200));
}

TEST(failed_steps, the_primal_form_accumulates_float_rows_in_double) {
  Training<float> run({.form = Form::primal});
  enlarge<float>(1e25)(run.batch, run.weights, run.coefficients);
  EXPECT_EQ(run.step().outcome, Outcome::accepted);
}

TEST(failed_steps, an_update_that_overflows_leaves_no_trace) {
  for (Form form : forms) {
    expect_no_trace<float>(
        "a parameter at the end of the range",
        {.step = FixedRate{1e37}, .momentum = NoMomentum{}, .form = form},
        [](auto& batch, auto&, auto& c) {
          batch.theta[0](0, 0) = std::numeric_limits<float>::max();
          for (std::size_t n = 0; n < 8; ++n) c(n) = 1e10F;
        },
        Outcome::not_finite);
  }
}

/// Two equal rows of integers: the second pivot of K, or of F, is exactly 0.
TEST(failed_steps, a_singular_system_leaves_no_trace) {
  for (Form form : forms) {
    for (const Momentum& momentum : momenta) {
      SCOPED_TRACE(testing::Message() << to_string(form) << ", momentum " << momentum.index());
      Tensor<float> theta(Numbers{1, 2});
      Parameters parameters(test_context());
      parameters.add(theta.view());
      Tensor<float> weights(Numbers{1, 1});
      Table full(2, 2);
      full.elements = {2, 0, 0, 2};
      Table repeated(2, 2);
      repeated.elements = {2, 0, 2, 0};
      Tensor<float> good(full);
      Tensor<float> bad(repeated);
      NaturalGradient optimizer(
          parameters,
          {.damping = {.absolute = 0}, .step = FixedRate{1}, .momentum = momentum, .form = form});
      DenseScores scores(parameters);
      scores.begin(bad.view(), {.weights = weights.view()});
      optimizer.step(scores);
      EXPECT_EQ(optimizer.report().outcome, Outcome::not_positive_definite);
      EXPECT_EQ(optimizer.report().error_bound, inf);
      EXPECT_EQ(theta.numbers(), (Numbers{1, 2}));
      scores.begin(good.view(), {.weights = weights.view()});
      optimizer.step(scores);
      EXPECT_EQ(optimizer.report().outcome, Outcome::accepted);
      EXPECT_EQ(theta.numbers(), (Numbers{1.5, 2.5}));  // S d = r: d = 1/2 and 1/2
    }
  }
}

/// Rows that are all zero are no failure: nothing is known, nothing moves.
TEST(failed_steps, rows_of_zeros_are_a_step_of_zero) {
  for (Form form : forms) {
    Training<double> run({.momentum = NoMomentum{}, .form = form});
    enlarge<double>(0)(run.batch, run.weights, run.coefficients);
    for (std::size_t n = 0; n < 8; ++n) {
      for (std::size_t j = 0; j < 2; ++j) run.batch.factors[3](n, j) = 0;
    }
    const auto before = run.batch.theta_numbers();
    const StepReport report = run.step();
    EXPECT_EQ(report.outcome, Outcome::accepted);
    EXPECT_EQ(report.quadratic_form, 0);
    EXPECT_EQ(run.batch.theta_numbers(), before);
  }
}

/// What ten steps of a batch with such a number say.
std::string text_of(const std::function<void(Training<double>&, Tensor<double>& gradient)>& spoil,
                    NotFinite operand, bool gradient_given = false) {
  std::string text;
  for (Form form : forms) {
    Training<double> run({.form = form});
    Tensor<double> gradient = zeros<double>(run.batch.parameters.size());
    spoil(run, gradient);
    run.batch.fill(run.scores,
                   {.weights = run.weights.view(), .coefficients = run.coefficients.view()});
    Batch batch{.fisher = run.scores};
    if (gradient_given) batch.gradient = Gradient{.view = gradient.view()};
    try {
      for (int i = 0; i < 12; ++i) {
        run.optimizer.step(batch);
        EXPECT_EQ(run.optimizer.report().not_finite, operand)
            << to_string(run.optimizer.report().not_finite);
      }
      ADD_FAILURE() << "nothing was thrown";
    } catch (const StepFailed& error) {
      text = error.what();
    }
  }
  return text;
}

TEST(failed_steps, the_operand_that_is_not_finite_is_named) {
  const auto expect = [](const std::string& part, const std::string& text) {
    EXPECT_NE(text.find(": " + part), std::string::npos) << text;
  };
  using Run = Training<double>;
  using Column = Tensor<double>;
  Training<double> names({});
  const Parameters& p = names.batch.parameters;
  const std::string weight = p.name(names.batch.layers[1].weight);
  const std::string bias = p.name(names.batch.layers[1].bias);
  expect(weight + ": .input is nan at row 3 (term 0, column 1)",
         text_of([](Run& run, Column&) { run.batch.factors[2](3, 1) = nan; }, NotFinite::rows));
  expect(weight + ": .output_score is -inf at row 6 (term 0, column 0)",
         text_of([](Run& run, Column&) { run.batch.factors[3](6, 0) = -inf; }, NotFinite::rows));
  expect(".weights is -2 at row 4: negative, must be >= 0",
         text_of([](Run& run, Column&) { run.weights(4) = -2; }, NotFinite::rows));
  expect(".coefficients is nan at row 5",
         text_of([](Run& run, Column&) { run.coefficients(5) = nan; }, NotFinite::coefficients));
  expect("parameter " + bias + " is inf at number 1",
         text_of([](Run& run, Column&) { run.batch.theta[3](1) = inf; }, NotFinite::parameters));
  expect(".gradient is nan at number 2",
         text_of([](Run&, Column& gradient) { gradient(2) = nan; }, NotFinite::gradient, true));
  expect("the operands at hand are finite",
         text_of([](Run& run,
                    Column&) { enlarge<double>(1e200)(run.batch, run.weights, run.coefficients); },
                 NotFinite::rows));
}

TEST(failed_steps, ten_in_a_row_throw_and_the_next_call_tries_again) {
  for (Form form : forms) {
    Training<float> run({.form = form});
    Training<float> undisturbed({.form = form});
    run.step();
    undisturbed.step();
    const auto before = run.batch.theta_memory();
    const float good = run.batch.factors[0](0, 0);
    run.batch.factors[0](0, 0) = std::numeric_limits<float>::quiet_NaN();
    const auto expect_thrown = [&](const char* step) {
      try {
        run.optimizer.step(run.scores);
        run.optimizer.report();          // a device has made the attempt by then
        run.optimizer.step(run.scores);  // and the next call knows
        ADD_FAILURE() << "nothing was thrown";
      } catch (const StepFailed& error) {
        const std::string text = error.what();
        EXPECT_NE(text.find(step), std::string::npos) << text;
        EXPECT_NE(text.find("not_finite"), std::string::npos) << text;
        EXPECT_NE(text.find("damping"), std::string::npos) << text;
      }
    };
    for (int i = 1; i <= 9; ++i) EXPECT_EQ(run.step().failures_in_a_row, i);
    expect_thrown("step 1");
    // Reports are there whatever failed.
    EXPECT_GE(run.optimizer.report().failures_in_a_row, 10);
    const auto taken = static_cast<int>(run.optimizer.report().step);
    EXPECT_EQ(run.optimizer.reports().size(), static_cast<std::size_t>(taken));
    EXPECT_TRUE(run.optimizer.reports().empty());
    const auto after = run.batch.theta_memory();
    for (std::size_t i = 0; i < after.size(); ++i) EXPECT_TRUE(same_bits(after[i], before[i]));

    // Ten more failures throw once more.
    const std::int64_t failed = run.optimizer.report().failures_in_a_row;
    for (int i = 1; i <= 9; ++i) EXPECT_EQ(run.step().failures_in_a_row, failed + i);
    expect_thrown("step 2");

    run.batch.factors[0](0, 0) = good;
    EXPECT_EQ(run.step().failures_in_a_row, 0);
    undisturbed.step();
    const auto expected = undisturbed.batch.theta_memory();
    const auto actual = run.batch.theta_memory();
    for (std::size_t i = 0; i < actual.size(); ++i) EXPECT_TRUE(same_bits(actual[i], expected[i]));

    // The count begins anew.
    run.batch.factors[0](0, 0) = std::numeric_limits<float>::quiet_NaN();
    for (int i = 1; i <= 9; ++i) EXPECT_EQ(run.step().failures_in_a_row, i);
    expect_thrown("step ");
  }
}

TEST(failed_steps, a_label_out_of_range_is_not_finite) {
  FullyConnected net(test_context(), {.sizes = {3, 4, 2}});
  Random random(70);
  Tensor<float> inputs(random.table(5, 3));
  NaturalGradient optimizer(net.parameters());
  LayerScores scores(net.parameters());
  for (std::int32_t label : {2, -1}) {
    SharedVector<std::int32_t> labels = {0, 1, label, 1, 0};
    net.forward(inputs.view());
    net.backward(shared_view(labels, {5, 1}));
    net.add_to(scores, {.samples = 5});
    optimizer.step(scores);
    EXPECT_EQ(optimizer.report().outcome, Outcome::not_finite);
  }
}

}  // namespace

}  // namespace natgrad::tests
