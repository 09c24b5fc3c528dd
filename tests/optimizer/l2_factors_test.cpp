#include "natgrad/checkpoint.hpp"
#include "natgrad/natgrad.hpp"
#include "support/device.hpp"
#include "support/files.hpp"
#include "support/layered_batch.hpp"
#include "support/loop.hpp"
#include "support/plain.hpp"
#include "support/structured.hpp"
#include "support/tolerance.hpp"
#include "support/weighted_training.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <variant>
#include <vector>

// Steps with a penalty by tensor and a damping in units, in double, against the formulas written
// plainly: (F + lambda D + eta E) d = g - eta E theta, and with SPRING plus mu (lambda D + eta E)
// d_prev.

namespace natgrad::tests {

namespace {

constexpr std::size_t samples = WeightedTraining::samples;
constexpr std::size_t size = WeightedTraining::size;
constexpr double lambda = 0.4;

const std::vector<SegmentFactor> factors = {{{1}, 0}, {{2}, 2.5}};  // an intercept without penalty

struct Case {
  Structure structure = Structure::full;
  Form form = Form::primal;
  DampingScaling scaling = DampingScaling::identity;
  std::vector<SegmentFactor> l2_factors = {};
  Momentum momentum = NoMomentum{};
  bool gradient_given = false;
  bool in_parts = false;
  double l2 = 0.3;
};

std::string text(const Case& c) {
  return std::string(to_string(c.structure)) + ", " + to_string(c.form) + ", " +
         to_string(c.scaling) + ", momentum " + std::to_string(c.momentum.index()) +
         (c.l2_factors.empty() ? "" : ", factors") + (c.gradient_given ? ", gradient given" : "") +
         (c.in_parts ? ", in parts" : "");
}

Options options_of(const Case& c) {
  return {.damping = {.absolute = lambda, .scaling = c.scaling},
          .step = FixedRate{0.2},
          .momentum = c.momentum,
          .l2 = c.l2,
          .l2_factors = c.l2_factors,
          .structure = c.structure,
          .form = c.form};
}

/// Each parameter's number, given a number for every tensor.
template <class Number>
Numbers by_tensor(const Parameters& parameters, const Number& number) {
  Numbers all;
  for (int s = 0; s < parameters.segments(); ++s) {
    const auto first = static_cast<std::size_t>(parameters.offset({s}));
    const auto count = static_cast<std::size_t>(parameters.tensor({s}).size());
    all.insert(all.end(), count, number(s, first, count));
  }
  return all;
}

/// The loop of a case once more.
struct Plain {
  const Case& options;
  Numbers theta;
  Numbers momentum = Numbers(size, 0.0);
  double quadratic_form = 0;

  void step(const WeightedTraining& run) {
    const Parameters& parameters = run.batch.parameters;
    Table F = gram(transposed(run.S()));
    if (options.structure == Structure::block_diagonal) {
      F = within_groups(F, parameters, {{{0}, {1}}, {{2}}, {{3}}});
    }
    for (std::size_t i = 0; i < size; ++i) {
      for (std::size_t j = 0; options.structure == Structure::diagonal && j < size; ++j) {
        if (i != j) F(i, j) = 0;
      }
    }
    const Numbers E = by_tensor(parameters, [&](int s, std::size_t, std::size_t) {
      double factor = 1;
      for (const SegmentFactor& f : options.l2_factors) {
        if (f.segment.index == s) factor = f.factor;
      }
      return options.l2 * factor;
    });
    Numbers D = Numbers(size, 1.0);
    if (options.scaling == DampingScaling::tensor) {
      D = by_tensor(parameters, [&](int, std::size_t first, std::size_t count) {
        double mean = 0;
        for (std::size_t i = first; i < first + count; ++i) mean += F(i, i);
        return mean / static_cast<double>(count);
      });
    } else if (options.scaling == DampingScaling::diagonal) {
      for (std::size_t i = 0; i < size; ++i) D[i] = F(i, i);
    }
    const auto* spring = std::get_if<Spring>(&options.momentum);
    Numbers b = run.gradient(options.gradient_given);
    Table A = F;
    for (std::size_t i = 0; i < size; ++i) {
      const double shift = lambda * D[i] + E[i];
      A(i, i) += shift;
      b[i] -= E[i] * theta[i];
      if (spring != nullptr) b[i] += spring->decay * shift * momentum[i];
    }
    Numbers d = solve(A, 0, b);
    if (const auto* ball = std::get_if<HeavyBall>(&options.momentum)) {
      d = sum(ball->decay, momentum, d);
    }
    momentum = d;
    quadratic_form = dot(d, multiply(F, d));
    theta = sum(0.2, d, theta);
  }
};

void check_steps(const Case& c) {
  SCOPED_TRACE(text(c));
  WeightedTraining run(options_of(c));
  Plain plain{.options = c, .theta = run.batch.theta_numbers()};
  for (int k = 0; k < 3; ++k) {
    run.draw();
    run.step(c.gradient_given, c.in_parts);
    plain.step(run);
    EXPECT_TRUE(relative_error_within(run.batch.theta_numbers(), plain.theta, 10 * same));
    const StepReport report = run.optimizer.report();
    EXPECT_EQ(report.outcome, Outcome::accepted);
    EXPECT_EQ(report.damping, lambda);
    EXPECT_TRUE(
        within(report.quadratic_form, plain.quadratic_form, 1e3 * same * plain.quadratic_form));
    EXPECT_TRUE(report.residual <= same);
    EXPECT_TRUE(report.error_bound > 0 && report.error_bound <= 10 * same);
  }
}

/// Calls body(case) for every structure, form and scaling that go together.
template <class Body>
void for_all(const Body& body) {
  for (Structure structure : {Structure::full, Structure::block_diagonal, Structure::diagonal}) {
    for (Form form : forms) {
      for (const EnumeratorName<DampingScaling>& row : damping_scaling_table) {
        const bool diagonal = structure == Structure::diagonal;
        if (diagonal && (form == Form::dual || row.value != DampingScaling::identity)) continue;
        if (form == Form::dual && row.value == DampingScaling::diagonal) continue;
        body(Case{.structure = structure, .form = form, .scaling = row.value});
      }
    }
  }
}

TEST(l2_factors, steps_are_those_of_the_formulas) {
  for_all([](Case c) {
    for (const Momentum& momentum : momenta) {
      for (const auto& l2_factors : {std::vector<SegmentFactor>{}, factors}) {
        for (bool gradient_given : {false, true}) {
          for (bool in_parts : {false, true}) {
            c.momentum = momentum;
            c.l2_factors = l2_factors;
            c.gradient_given = gradient_given;
            c.in_parts = in_parts;
            check_steps(c);
          }
        }
      }
    }
  });
}

TEST(l2_factors, no_penalty_is_damping_alone) {
  for_all([](Case c) {
    c.l2 = 0;
    c.l2_factors = factors;
    c.momentum = Spring{0.8};
    check_steps(c);
  });
}

// An intercept without penalty, at damping 0: ridge regression in one step of rate 1.
TEST(l2_factors, need_no_damping_where_the_system_is_regular) {
  WeightedTraining run({.damping = {.absolute = 0},
                        .step = FixedRate{1},
                        .momentum = NoMomentum{},
                        .l2 = 0.3,
                        .l2_factors = {{{2}, 0}, {{3}, 0}},
                        .rate_factors = {{{0}, 0}, {{1}, 0}},  // more rows than parameters are left
                        .form = Form::primal});
  const Numbers before = run.batch.theta_numbers();
  run.draw();
  run.step(false, false);
  EXPECT_EQ(run.optimizer.report().outcome, Outcome::accepted);
  EXPECT_EQ(run.optimizer.report().damping, 0);
  const Table S = run.S();
  Table moving(samples, 8);
  for (std::size_t n = 0; n < samples; ++n) {
    for (std::size_t i = 0; i < 8; ++i) moving(n, i) = S(n, 15 + i);
  }
  const Numbers g = multiply(transposed(moving),
                             right_hand_side(run.weights.numbers(), run.coefficients.numbers()));
  const Numbers d = solve(gram(transposed(moving)), 0, g);
  const Numbers after = run.batch.theta_numbers();
  for (std::size_t i = 0; i < 8; ++i) {
    EXPECT_TRUE(within(after[15 + i], before[15 + i] + d[i], 1e-9));
  }
}

TEST(l2_factors, factors_of_one_change_no_bit) {
  WeightedTraining plain(options_of({.form = Form::dual}));
  WeightedTraining named(options_of({.form = Form::dual, .l2_factors = {{{0}, 1}, {{3}, 1}}}));
  for (WeightedTraining* run : {&plain, &named}) {
    run->draw();
    run->step(false, false);
  }
  EXPECT_EQ(named.batch.theta_numbers(), plain.batch.theta_numbers());
}

TEST(l2_factors, a_plan_is_what_a_step_takes) {
  for_all([](Case c) {
    for (bool in_parts : {false, true}) {
      c.l2_factors = factors;
      c.momentum = Spring{0.8};
      SCOPED_TRACE(text(c));
      WeightedTraining run(options_of(c),
                           {{.inputs = 4, .outputs = 3}, {.inputs = 3, .outputs = 2}});
      run.draw();
      const Batch batch{.fisher = run.part(0, in_parts ? 5 : samples)};
      const MemoryPlan of_batch = run.optimizer.plan(batch);
      const MemoryPlan of_shape = run.optimizer.plan(of_batch.shape);
      EXPECT_EQ(of_batch.bytes, of_shape.bytes);
      // One byte less is refused before anything is allocated.
      Options limited = options_of(c);
      limited.memory_budget = of_batch.bytes - 1;
      NaturalGradient poor(run.batch.parameters, limited);
      EXPECT_THROW(in_parts ? poor.accumulate(batch) : poor.step(batch), MemoryError);
      limited.memory_budget = of_batch.bytes;
      NaturalGradient rich(run.batch.parameters, limited);
      EXPECT_NO_THROW(in_parts ? rich.accumulate(batch) : rich.step(batch));
    }
  });
}

TEST(l2_factors, a_checkpoint_leaves_units_to_the_options) {
  const std::string path =
      (std::filesystem::temp_directory_path() / "natgrad_l2_factors.checkpoint").string();
  for (DampingScaling scaling : {DampingScaling::tensor, DampingScaling::diagonal}) {
    const Case c{.scaling = scaling, .l2_factors = factors, .momentum = Spring{0.8}};
    WeightedTraining run(options_of(c));
    WeightedTraining other(options_of(c));
    run.draw();
    run.step(false, false);
    save(path, run.optimizer);
    Checkpoint(path).restore(other.optimizer);
    EXPECT_EQ(other.optimizer.options().damping.scaling, scaling);
    other.random = run.random;
    for (WeightedTraining* one : {&run, &other}) {
      one->draw();
      one->step(false, false);
    }
    EXPECT_EQ(other.batch.theta_numbers(), run.batch.theta_numbers());
  }
  std::filesystem::remove(path);
}

std::string option_error(const Options& options) {
  const LayeredBatch<double> batch({.layers = layers, .samples = 4});
  try {
    const NaturalGradient optimizer(batch.parameters, options);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(l2_factors, what_does_not_go_together_is_refused) {
  const auto names = [](const Options& options, const char* text) {
    const std::string error = option_error(options);
    EXPECT_NE(error.find(text), std::string::npos) << error;
  };
  names({.l2_factors = {{{0}, -1}}}, ".l2_factors = -1");
  names({.l2_factors = {{{0}, nan}}}, ".l2_factors");
  names({.l2_factors = {{{4}, 1}}}, ".l2_factors names segment 4 of 4");
  names({.l2_factors = {{{1}, 1}, {{1}, 2}}}, "twice");
  const std::vector<SegmentFactor> one = {{{1}, 0}};
  for (const Damping& damping : {Damping{.absolute = 0}, Damping{.absolute = 1, .relative = 1}}) {
    names({.damping = damping, .l2 = 0.1, .l2_factors = one}, "Form::primal");
    EXPECT_EQ(
        option_error({.damping = damping, .l2 = 0.1, .l2_factors = one, .form = Form::primal}), "");
  }
  names({.damping = {.scaling = DampingScaling::diagonal}, .l2 = 0.1}, "Form::primal");
  names({.damping = {.relative = 1, .scaling = DampingScaling::tensor}, .l2 = 0.1}, "Form::primal");
  names({.damping = {.scaling = DampingScaling::tensor}, .structure = Structure::diagonal},
        "DampingScaling::identity");
  EXPECT_EQ(option_error({.l2 = 0.1, .l2_factors = one}), "");

  WeightedTraining run(options_of({.l2_factors = factors}));
  EXPECT_THROW(run.optimizer.set_damping({.scaling = DampingScaling::tensor}), OptionError);
  WeightedTraining dual(options_of({.form = Form::dual, .l2_factors = factors}));
  EXPECT_THROW(dual.optimizer.set_damping({.absolute = 0}), OptionError);
  EXPECT_NO_THROW(dual.optimizer.set_damping({.absolute = 2}));
}

TEST(damping_units_step, centred_rows_are_refused_before_anything_happens) {
  WeightedTraining run(options_of({.scaling = DampingScaling::tensor}));
  run.draw();
  const Numbers before = run.batch.theta_numbers();
  run.batch.fill(
      run.scores,
      {.samples = samples, .coefficients = run.coefficients.view(), .centering = Centering::rows},
      0);
  EXPECT_THROW(run.optimizer.step(run.scores), OptionError);
  EXPECT_THROW(run.optimizer.accumulate(run.scores), OptionError);
  EXPECT_EQ(run.batch.theta_numbers(), before);
}

// A trust region sees the same d^T F d whatever the units.
TEST(damping_units_step, a_trust_region_predicts_its_radius) {
  for (Form form : forms) {
    WeightedTraining run({.damping = {.absolute = lambda, .scaling = DampingScaling::tensor},
                          .step = KlTrustRegion{.radius = 1e-3, .max_rate = 1e3},
                          .momentum = Spring{0.8},
                          .form = form});
    for (int k = 0; k < 2; ++k) {
      run.draw();
      run.step(false, false);
      const StepReport report = run.optimizer.report();
      EXPECT_EQ(report.outcome, Outcome::accepted);
      ASSERT_TRUE(report.predicted_kl.has_value());
      EXPECT_TRUE(within(*report.predicted_kl, 1e-3, 1e-12));
    }
  }
}

}  // namespace

}  // namespace natgrad::tests
