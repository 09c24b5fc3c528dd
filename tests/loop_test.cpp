#include "natgrad/natgrad.hpp"
#include "support/layered_batch.hpp"
#include "support/plain.hpp"
#include "support/tolerance.hpp"
#include "support/uses.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <numbers>
#include <string>
#include <variant>
#include <vector>

// The update loop: batches that come in parts, directions, rates and factors. Everything in double,
// against the whole batch, a twin that was not disturbed, or the formulas written plainly.

namespace natgrad::tests {

namespace {

using Options = NaturalGradient::Options;
using Source = ScoresShape::Source;

constexpr double same = 1e-12;  // relative; these systems' condition is below 1e3
constexpr double nan = std::numeric_limits<double>::quiet_NaN();
constexpr std::array forms{Form::primal, Form::dual};
const std::array<Momentum, 3> momenta{NoMomentum{}, HeavyBall{0.7}, Spring{0.8}};
const std::vector<LayerShape> layers = {{.inputs = 4, .outputs = 3},
                                        {.inputs = 3, .outputs = 2, .bias = false},
                                        {.inputs = 0, .outputs = 2}};
constexpr Damping damping{.absolute = 0.05, .relative = 0.3};

void expect_same_report(const StepReport& a, const StepReport& b) {
  EXPECT_EQ(a.step, b.step);
  EXPECT_EQ(a.outcome, b.outcome);
  EXPECT_EQ(a.form, b.form);
  EXPECT_TRUE(within(a.rate, b.rate, same * b.rate));
  EXPECT_TRUE(within(a.damping, b.damping, same * b.damping));
  EXPECT_TRUE(within(a.quadratic_form, b.quadratic_form, 10 * same * b.quadratic_form));
  EXPECT_EQ(a.predicted_kl.has_value(), b.predicted_kl.has_value());
}

template <class T>
void expect_same_bits(const LayeredBatch<T>& a, const LayeredBatch<T>& b) {
  const auto expected = b.theta_memory();
  const auto actual = a.theta_memory();
  ASSERT_EQ(actual.size(), expected.size());
  for (std::size_t i = 0; i < actual.size(); ++i) {
    EXPECT_TRUE(same_bits(actual[i], expected[i])) << "tensor " << i;
  }
}

// Batches that come in parts.

/// One way to take steps from 41 rows, all at once or in parts.
struct Parted {
  Options options;
  Source source = Source::rows;
  Centre centre = Centre::none;
};

struct PartedTraining {
  static constexpr std::size_t samples = 41;
  Parted setup;
  LayeredBatch<double> batch{{.layers = layers, .samples = samples, .seed = 7}};
  LayeredBatch<double> other{{.layers = layers, .samples = samples, .seed = 8}};
  Random random{9};
  Tensor<double> weights{Numbers(samples, 0)};
  Tensor<double> coefficients{Numbers(samples, 0)};
  Tensor<double> numbers{Numbers(23, 0)};
  Tensor<double> share{Numbers(23, 0)};
  LayerScores scores{batch.parameters, {.kind = Kind::exact}};
  LayerScores gradient{batch.parameters};
  NaturalGradient optimizer;

  explicit PartedTraining(const Parted& given)
      : setup(given), optimizer(batch.parameters, given.options) {}

  /// New weights, coefficients and gradient for the next step.
  void draw() {
    for (std::size_t n = 0; n < samples; ++n) {
      weights(n) = std::abs(random()) / samples;
      coefficients(n) = random();
    }
    for (std::size_t i = 0; i < 23; ++i) numbers(i) = random();
  }
  Batch part(std::int64_t first, std::int64_t count) {
    RowSet set{.samples = count,
               .batch_samples = samples,
               .weights = weights.view().row_range(first, count),
               .centre = setup.centre};
    RowSet others = set;
    if (setup.centre != Centre::fisher_only) {
      set.coefficients = coefficients.view().row_range(first, count);
    }
    batch.fill(scores, set, first);
    if (setup.source == Source::rows) return {.fisher = scores};
    if (setup.source == Source::numbers) {
      // A part's share of the sum.
      for (std::size_t i = 0; i < 23; ++i) {
        share(i) = numbers(i) * static_cast<double>(count) / samples;
      }
      return {.fisher = scores, .gradient = Gradient{share.view(), -2}};
    }
    others.centre = Centre::none;
    others.coefficients = coefficients.view().row_range(first, count);
    gradient.begin(others);
    for (LayerScores::Layer layer : other.layers) {
      if (!layer.input.empty()) layer.input = layer.input.row_range(first, count);
      layer.output_score = layer.output_score.row_range(first, count);
      gradient.add(layer);
    }
    return {.fisher = scores, .gradient = gradient};
  }
  void accumulate(const std::vector<std::int64_t>& parts) {
    std::int64_t first = 0;
    for (std::int64_t count : parts) {
      optimizer.accumulate(part(first, count));
      first += count;
    }
  }
};

void check_parts(const char* what, const Parted& setup) {
  SCOPED_TRACE(testing::Message() << what << ", " << to_string(setup.options.form) << ", momentum "
                                  << setup.options.momentum.index());
  PartedTraining whole(setup);
  PartedTraining parted(setup);
  for (const std::vector<std::int64_t>& parts :
       std::initializer_list<std::vector<std::int64_t>>{{16, 16, 9}, {1, 20, 3, 17}, {41}}) {
    whole.draw();
    parted.draw();
    whole.optimizer.step(whole.part(0, 41));
    parted.accumulate(parts);
    parted.optimizer.step();
    EXPECT_EQ(whole.optimizer.report().outcome, Outcome::accepted);
    expect_same_report(parted.optimizer.report(), whole.optimizer.report());
    EXPECT_TRUE(
        relative_error_within(parted.batch.theta_numbers(), whole.batch.theta_numbers(), same));
  }
}

TEST(loop, parts_are_the_whole_batch) {
  for (Form form : forms) {
    for (const Momentum& momentum : momenta) {
      const Options options{.damping = damping, .momentum = momentum, .form = form};
      const auto with = [&](const std::function<void(Options&)>& change) {
        Options changed = options;
        change(changed);
        return changed;
      };
      check_parts("rows", {options});
      check_parts("numbers", {options, Source::numbers});
      check_parts("other rows", {options, Source::other_rows});
      check_parts("centred", {options, Source::rows, Centre::rows});
      check_parts("centred, numbers", {options, Source::numbers, Centre::rows});
      check_parts("penalty", {with([](Options& o) { o.penalty = 0.1; })});
      check_parts("penalty, other rows",
                  {with([](Options& o) { o.penalty = 0.1; }), Source::other_rows});
      check_parts("refined", {with([](Options& o) { o.refinement = 2; }), Source::numbers});
      check_parts("KlBall", {with([](Options& o) { o.step = KlBall{.radius = 1e-3}; })});
      check_parts("frozen and scaled", {with([](Options& o) {
                                          o.rate_factors = {{{0}, 0}, {{2}, 2}};
                                          o.max_norm = 0.05;
                                        }),
                                        Source::other_rows});
      if (std::holds_alternative<Spring>(momentum)) continue;
      check_parts("centred for the Fisher alone", {options, Source::rows, Centre::fisher_only});
    }
  }
}

TEST(loop, parts_of_any_shape_are_the_whole_batch) {
  const std::vector<Use> uses = {
      {.inputs = 3, .outputs = 4, .terms = 3, .half = 1, .bias_terms = Bias::first_term},
      {.inputs = 3, .outputs = 4, .rows_per_input = 2, .half = 2, .same_as = 0},
      {.inputs = 2, .outputs = 3, .terms = 2, .rows_per_input = 4},
      {.inputs = 0, .outputs = 2}};
  constexpr std::array<std::int64_t, 4> parts{16, 8, 24, 4};
  constexpr std::int64_t samples = 52;
  for (Form form : forms) {
    SCOPED_TRACE(to_string(form));
    const Options options{.damping = damping, .form = form};
    UsedRows<double> whole(uses, samples);
    UsedRows<double> parted(uses, samples);
    NaturalGradient of_whole(whole.parameters, options);
    NaturalGradient of_parts(parted.parameters, options);
    LayerScores scores(whole.parameters);
    LayerScores part(parted.parameters);
    for (int step = 0; step < 2; ++step) {
      scores.begin({.samples = samples});
      std::int64_t first = 0;
      for (std::int64_t count : parts) {
        whole.add(scores, first, first, count);
        parted.fill(part, {.samples = count, .batch_samples = samples}, first);
        of_parts.accumulate(part);
        first += count;
      }
      of_whole.step(scores);
      of_parts.step();
      expect_same_report(of_parts.report(), of_whole.report());
      EXPECT_TRUE(relative_error_within(parted.theta_numbers(), whole.theta_numbers(), same));
    }
  }
}

/// 4096 rows of a small net, at once and in eight parts.
void check_eight_parts(Form form, const Momentum& momentum) {
  SCOPED_TRACE(to_string(form));
  constexpr std::int64_t samples = 4096;
  constexpr std::int64_t part = 512;
  struct Training {
    Training(Form form, const Momentum& momentum)
        : net(Context::cpu(), {.sizes = {6, 8, 3}, .type = ElementType::float64}),
          scores(net.parameters()),
          optimizer(net.parameters(), {.momentum = momentum, .form = form}) {}
    void load(Tensor<double>& inputs, std::vector<std::int32_t>& labels, std::int64_t first,
              std::int64_t count) {
      net.forward(inputs.view().row_range(first, count));
      net.backward(View(labels.data() + first, {count, 1}));
      net.add_to(scores, {.samples = count, .batch_samples = samples});
    }
    Numbers theta() const {
      Tensor<double> all = zeros<double>(net.parameters().size());
      net.parameters().gather(all.view());
      return all.numbers();
    }
    FullyConnected net;
    LayerScores scores;
    NaturalGradient optimizer;
  };
  Training whole(form, momentum);
  Training parted(form, momentum);
  Tensor<double> inputs(Random(20).table(samples, 6));
  std::vector<std::int32_t> labels;
  for (std::size_t n = 0; n < samples; ++n) {
    labels.push_back(inputs(n, 0) > inputs(n, 1) ? 0 : inputs(n, 2) > 0 ? 1 : 2);
  }
  for (int step = 0; step < 2; ++step) {
    whole.load(inputs, labels, 0, samples);
    whole.optimizer.step(whole.scores);
    for (std::int64_t first = 0; first < samples; first += part) {
      parted.load(inputs, labels, first, part);
      parted.optimizer.accumulate(parted.scores);
    }
    parted.optimizer.step();
    EXPECT_EQ(parted.optimizer.report().outcome, Outcome::accepted);
    EXPECT_TRUE(relative_error_within(parted.theta(), whole.theta(), same));
  }
}

TEST(loop, eight_parts_of_512_are_4096_rows_with_spring_in_the_primal_form) {
  check_eight_parts(Form::primal, Spring{0.9});
}
TEST(loop, eight_parts_of_512_are_4096_rows_with_heavy_ball_in_the_primal_form) {
  check_eight_parts(Form::primal, HeavyBall{0.9});
}
TEST(loop, eight_parts_of_512_are_4096_rows_with_spring_in_the_dual_form) {
  check_eight_parts(Form::dual, Spring{0.9});
}
TEST(loop, eight_parts_of_512_are_4096_rows_with_heavy_ball_in_the_dual_form) {
  check_eight_parts(Form::dual, HeavyBall{0.9});
}

TEST(loop, what_is_discarded_has_never_been) {
  for (Form form : forms) {
    for (Source source : {Source::rows, Source::numbers}) {
      const Parted setup{{.damping = damping, .form = form}, source};
      PartedTraining run(setup);
      PartedTraining undisturbed(setup);
      run.draw();
      undisturbed.draw();
      run.accumulate({30, 5});
      run.optimizer.discard();
      run.optimizer.discard();
      EXPECT_THROW(run.optimizer.step(), ArgumentError);
      for (PartedTraining* training : {&run, &undisturbed}) {
        training->accumulate({20, 21});
        training->optimizer.step();
      }
      expect_same_bits(run.batch, undisturbed.batch);
      EXPECT_EQ(run.optimizer.report().step, 1);
    }
  }
}

TEST(loop, a_failed_step_of_parts_is_over_and_leaves_no_trace) {
  for (Form form : forms) {
    const Parted setup{{.damping = damping, .form = form}, Source::rows};
    PartedTraining run(setup);
    PartedTraining undisturbed(setup);
    run.draw();
    undisturbed.draw();
    run.coefficients(30) = nan;
    run.accumulate({20, 21});
    run.optimizer.step();
    EXPECT_EQ(run.optimizer.report().outcome, Outcome::not_finite);
    expect_same_bits(run.batch, undisturbed.batch);
    EXPECT_THROW(run.optimizer.step(), ArgumentError);
    run.coefficients(30) = undisturbed.coefficients(30);
    for (PartedTraining* training : {&run, &undisturbed}) {
      training->accumulate({20, 21});
      training->optimizer.step();
    }
    expect_same_bits(run.batch, undisturbed.batch);
  }
}

/// An `ArgumentError` that says `text`.
template <class Call>
void expect_refused(const char* text, const Call& call) {
  try {
    call();
    ADD_FAILURE() << "nothing was thrown instead of: " << text;
  } catch (const ArgumentError& error) {
    EXPECT_NE(std::string(error.what()).find(text), std::string::npos) << error.what();
  }
}

TEST(loop, what_does_not_belong_to_the_batch_is_refused_and_nothing_is_added) {
  for (Form form : forms) {
    SCOPED_TRACE(to_string(form));
    const Parted setup{{.damping = damping, .form = form}};
    PartedTraining run(setup);
    PartedTraining undisturbed(setup);
    run.draw();
    undisturbed.draw();
    NaturalGradient& optimizer = run.optimizer;
    expect_refused("nothing was accumulated", [&] { optimizer.step(); });
    run.accumulate({30});
    expect_refused("30 of 41 samples are accumulated", [&] { optimizer.step(); });
    expect_refused("30 rows are accumulated; step() takes them, discard() drops them",
                   [&] { optimizer.step(run.part(0, 41)); });
    expect_refused("30 rows and 12 more are beyond the batch's 41",
                   [&] { optimizer.accumulate(run.part(0, 12)); });
    expect_refused(".batch_samples differs", [&] {
      optimizer.accumulate(run.batch.scores({.samples = 3, .batch_samples = 40}, {Kind::exact}));
    });
    expect_refused("the kind of the rows differs", [&] {
      optimizer.accumulate(run.batch.scores({.samples = 3, .batch_samples = 41}));
    });
    expect_refused(".centre differs", [&] {
      optimizer.accumulate(
          run.batch.scores({.samples = 3,
                            .batch_samples = 41,
                            .coefficients = run.coefficients.view().row_range(0, 3),
                            .centre = Centre::rows},
                           {Kind::exact}));
    });
    expect_refused("the source of the gradient differs", [&] {
      optimizer.accumulate(
          {.fisher = run.part(0, 3).fisher, .gradient = Gradient{run.numbers.view()}});
    });
    const std::string path = testing::TempDir() + "natgrad_loop_test.ckpt";
    expect_refused("save: 30 rows are accumulated", [&] { save(path, optimizer); });
    const MemoryPlan plan =
        optimizer.plan(ScoresShape{.samples = 100, .batch_samples = 200, .layers = {{4, 3}}});
    expect_refused("reserve: 30 rows are accumulated", [&] { optimizer.reserve(plan); });
    // One that needs no other memory than scratch may be reserved.
    optimizer.reserve(optimizer.plan(ScoresShape{.samples = 100}));

    optimizer.accumulate(run.part(30, 11));
    optimizer.step();
    undisturbed.accumulate({30, 11});
    undisturbed.optimizer.step();
    expect_same_bits(run.batch, undisturbed.batch);
  }
}

// Directions.

TEST(loop, a_direction_is_that_of_the_formula_and_changes_nothing) {
  for (Form form : forms) {
    for (const Momentum& momentum : momenta) {
      SCOPED_TRACE(testing::Message() << to_string(form) << ", momentum " << momentum.index());
      const Parted setup{{.damping = damping,
                          .step = KlBall{.radius = 1e-3},
                          .schedule = {.decay = RateDecay::linear, .steps = 5},
                          .momentum = momentum,
                          .weight_decay = 0.1,
                          .rate_factors = {{{0}, 2}},
                          .form = form}};
      PartedTraining run(setup);
      PartedTraining undisturbed(setup);
      for (int step = 0; step < 3; ++step) {
        run.draw();
        undisturbed.draw();
        const Table S = weighted(run.batch.rows, run.weights.numbers());
        const Numbers r = right_hand_side(run.weights.numbers(), run.coefficients.numbers());
        const double lambda = 0.05 + 0.3 * trace(gram(S)) / 23;
        const Numbers d = damped_direction(S, lambda, r);
        Tensor<double> direction = zeros<double>(23);
        run.optimizer.direction(run.part(0, 41), direction.view());
        EXPECT_TRUE(relative_error_within(direction.numbers(), d, same));
        const SolveReport report = run.optimizer.direction_report();
        EXPECT_EQ(report.outcome, Outcome::accepted);
        EXPECT_EQ(report.form, form);
        EXPECT_TRUE(within(report.damping, lambda, same * lambda));
        EXPECT_TRUE(report.residual <= same);
        EXPECT_TRUE(report.error_bound > 0 && report.error_bound <= same);
        const Numbers rows = multiply(S, d);
        EXPECT_TRUE(within(report.quadratic_form, dot(rows, rows), 10 * same * dot(rows, rows)));

        run.optimizer.step(run.part(0, 41));
        undisturbed.optimizer.step(undisturbed.part(0, 41));
        expect_same_bits(run.batch, undisturbed.batch);
        EXPECT_EQ(run.optimizer.report().step, step + 1);
        EXPECT_EQ(run.optimizer.report().rate, undisturbed.optimizer.report().rate);
      }
    }
  }
}

TEST(loop, a_direction_of_any_gradient_is_that_of_a_step) {
  for (Form form : forms) {
    for (Source source : {Source::rows, Source::numbers, Source::other_rows}) {
      for (Centre centre : {Centre::none, Centre::rows}) {
        const Parted setup{{.damping = damping,
                            .step = FixedRate{1},
                            .momentum = NoMomentum{},
                            .penalty = 0.2,
                            .form = form},
                           source,
                           centre};
        PartedTraining run(setup);
        run.draw();
        Tensor<double> direction = zeros<double>(23);
        const Numbers before = run.batch.theta_numbers();
        run.optimizer.direction(run.part(0, 41), direction.view());
        EXPECT_EQ(run.batch.theta_numbers(), before);
        run.optimizer.step(run.part(0, 41));
        EXPECT_TRUE(relative_error_within(run.batch.theta_numbers(),
                                          sum(1, before, direction.numbers()), same));
      }
    }
  }
}

TEST(loop, a_direction_does_not_disturb_parts_that_wait) {
  for (Form form : forms) {
    for (Centre centre : {Centre::none, Centre::rows}) {
      const Parted setup{{.damping = damping, .form = form}, Source::rows, centre};
      PartedTraining run(setup);
      PartedTraining undisturbed(setup);
      run.draw();
      undisturbed.draw();
      run.accumulate({30});
      Tensor<double> direction = zeros<double>(23);
      run.optimizer.direction(run.part(0, 41), direction.view());
      run.optimizer.accumulate(run.part(30, 11));
      run.optimizer.direction(run.part(0, 41), direction.view());
      run.optimizer.step();
      undisturbed.accumulate({30, 11});
      undisturbed.optimizer.step();
      expect_same_bits(run.batch, undisturbed.batch);
    }
  }
}

TEST(loop, a_direction_that_fails_leaves_the_output) {
  for (Form form : forms) {
    PartedTraining run({{.damping = damping, .form = form}});
    PartedTraining undisturbed({{.damping = damping, .form = form}});
    run.draw();
    undisturbed.draw();
    Tensor<double> direction(Numbers(23, 7.0));
    run.weights(3) = nan;
    run.optimizer.direction(run.part(0, 41), direction.view());
    EXPECT_EQ(run.optimizer.direction_report().outcome, Outcome::not_finite);
    EXPECT_EQ(direction.numbers(), Numbers(23, 7.0));
    run.weights(3) = undisturbed.weights(3);
    run.optimizer.step(run.part(0, 41));
    undisturbed.optimizer.step(undisturbed.part(0, 41));
    expect_same_bits(run.batch, undisturbed.batch);
    EXPECT_EQ(run.optimizer.report().failures_in_a_row, 0);
  }
}

TEST(loop, a_direction_of_ten_failures_does_not_throw) {
  PartedTraining run({{.damping = damping}});
  run.draw();
  run.weights(3) = nan;
  Tensor<double> direction = zeros<double>(23);
  for (int i = 0; i < 12; ++i) run.optimizer.direction(run.part(0, 41), direction.view());
  EXPECT_EQ(run.optimizer.direction_report().outcome, Outcome::not_finite);
}

// Rates.

/// Steps over a plain batch, with all that a rule follows from.
struct RuledTraining {
  LayeredBatch<double> batch{{.layers = layers, .samples = 12, .seed = 30}};
  Tensor<double> weights{Numbers(12, 1.0 / 12)};
  LayerScores scores{batch.parameters, {.kind = Kind::sampled}};
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
    for (const StepRule& rule :
         std::initializer_list<StepRule>{FixedRate{0.4}, KlBall{.radius = 1e9, .max_rate = 0.4}}) {
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
    const StepRule rule = ball ? StepRule(KlBall{.radius = 1e9}) : StepRule(FixedRate{0.5});
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
    EXPECT_EQ(ball ? std::get<KlBall>(step).max_rate : std::get<FixedRate>(step).rate, 2);
    if (ball) {
      EXPECT_EQ(std::get<KlBall>(step).radius, 1e9);
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
                         .step = KlBall{.radius = radius, .max_rate = 50},
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
      RuledTraining capped(
          {.step = KlBall{.radius = 1e3, .max_rate = 0.125}, .momentum = momentum, .form = form});
      const StepReport report = capped.step();
      EXPECT_EQ(report.rate, 0.125);
      EXPECT_LT(*report.predicted_kl, 1e3);
    }
  }
}

TEST(loop, a_direction_of_zero_has_the_largest_rate) {
  for (Form form : forms) {
    RuledTraining run(
        {.step = KlBall{.radius = 1e-3, .max_rate = 0.75}, .max_norm = 1e-3, .form = form});
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
  NaturalGradient strict(batch.parameters, {.step = KlBall{}});
  const LayerScores scores = batch.scores();
  Tensor<double> direction = zeros<double>(23);
  expect_refused("KlBall needs rows of the Fisher", [&] { strict.step(scores); });
  expect_refused("KlBall needs rows of the Fisher", [&] { strict.accumulate(scores); });
  NaturalGradient loose(batch.parameters, {.step = KlBall{.allow_empirical = true}});
  loose.step(scores);
  EXPECT_EQ(loose.report().outcome, Outcome::accepted);
  EXPECT_FALSE(loose.report().predicted_kl.has_value());
}

TEST(loop, no_step_is_longer_than_the_largest_norm) {
  for (Form form : forms) {
    for (const Momentum& momentum : momenta) {
      for (const StepRule& rule :
           std::initializer_list<StepRule>{FixedRate{0.5}, KlBall{.radius = 10, .max_rate = 0.5}}) {
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
  Parameters parameters{Context::cpu()};
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
    LayerScores scores(parameters, {.kind = Kind::sampled});
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
                        .step = KlBall{.radius = 1e-2, .max_rate = 5},
                        .max_norm = 0.9,
                        .momentum = momentum,
                        .weight_decay = 0.1,
                        .penalty = 0.03,
                        .form = form};
        Remaining twin;
        NaturalGradient of_remaining(twin.parameters, options);
        options.rate_factors = {{{0}, 0}, {{2}, 0}};
        RuledTraining run(options);
        Tensor<double> rows(run.batch.rows);
        DenseScores formed(run.batch.parameters, {.kind = Kind::sampled});
        const auto frozen = run.batch.theta_memory();
        for (int step = 0; step < 3; ++step) {
          if (dense) {
            formed.begin(rows.view(), {.coefficients = run.coefficients.view()});
            run.optimizer.step(formed);
          } else {
            run.step();
          }
          of_remaining.step(twin.scores());
          expect_same_report(run.optimizer.report(), of_remaining.report());
          const auto theta = run.batch.theta_memory();
          EXPECT_TRUE(same_bits(theta[0], frozen[0]));
          EXPECT_TRUE(same_bits(theta[2], frozen[2]));
          for (std::size_t moving : {1, 3}) {
            EXPECT_TRUE(relative_error_within(run.batch.theta[moving].numbers(),
                                              twin.batch.theta[moving].numbers(), same));
          }
        }
      }
    }
  }
}

TEST(loop, a_direction_is_zero_where_tensors_are_frozen) {
  for (Form form : forms) {
    Remaining twin;
    NaturalGradient of_remaining(twin.parameters, {.form = form});
    Tensor<double> few = zeros<double>(5);
    of_remaining.direction(twin.scores(), few.view());
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
