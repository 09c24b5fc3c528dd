#include "natgrad/checkpoint.hpp"
#include "natgrad/natgrad.hpp"
#include "support/device.hpp"
#include "support/layered_batch.hpp"
#include "support/loop.hpp"
#include "support/plain.hpp"
#include "support/structured.hpp"
#include "support/tolerance.hpp"
#include "support/weighted_training.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <variant>
#include <vector>

// Steps of a part of the Fisher matrix, in double, against the formulas written plainly: the matrix
// of all parameters with zeros outside its structure.

namespace natgrad::tests {

namespace {

using Memory = std::vector<std::vector<double>>;

void expect_same_bits(const Memory& actual, const Memory& expected) {
  ASSERT_EQ(actual.size(), expected.size());
  for (std::size_t i = 0; i < actual.size(); ++i) {
    EXPECT_TRUE(same_bits(actual[i], expected[i])) << "tensor " << i;
  }
}

constexpr std::size_t samples = WeightedTraining::samples;
constexpr std::size_t size = WeightedTraining::size;
constexpr double lambda = 0.4;

/// Weights and biases of one layer each, and groups whose parameters are apart.
const ParameterGroups named = {{{0}, {1}}, {{2}}, {{3}}};
const ParameterGroups crossed = {{{0}, {3}}, {{1}, {2}}};

struct Structured {
  const char* name;
  Structure structure;
  ParameterGroups groups;    // as given
  ParameterGroups expected;  // of the blocks
};

std::vector<Structured> structures() {
  constexpr Structure blocks = Structure::block_diagonal;
  return {{"layers", blocks, {}, named},
          {"crossed", blocks, crossed, crossed},
          {"all", blocks, {{{0}, {1}, {2}, {3}}}, {{{0}, {1}, {2}, {3}}}},
          {"diagonal", Structure::diagonal, {}, {}}};
}

Table within_structure(Table F, const Structured& structured, const Parameters& parameters) {
  if (structured.structure == Structure::block_diagonal) {
    return within_groups(F, parameters, structured.expected);
  }
  for (std::size_t i = 0; i < F.rows; ++i) {
    for (std::size_t j = 0; j < F.rows; ++j) {
      if (i != j) F(i, j) = 0;
    }
  }
  return F;
}

/// The loop of the options once more: theta, momentum and the last quadratic form.
struct Plain {
  Options options;
  Structured structured;
  Numbers theta;
  Numbers momentum = Numbers(size, 0.0);
  double quadratic_form = 0;

  void step(const WeightedTraining& run, bool gradient_given) {
    const Table F = within_structure(gram(transposed(run.S())), structured, run.batch.parameters);
    const double shift = lambda + options.l2;
    Numbers g = sum(-options.l2, theta, run.gradient(gradient_given));
    const auto* spring = std::get_if<Spring>(&options.momentum);
    // (F + shift) (d - m) = g - F m is (F + shift) d = g + shift m.
    if (spring != nullptr) g = sum(shift * spring->decay, momentum, g);
    Numbers d = solve(F, shift, g);
    if (const auto* ball = std::get_if<HeavyBall>(&options.momentum)) {
      d = sum(ball->decay, momentum, d);
    }
    momentum = d;
    for (const SegmentFactor& f : options.rate_factors) {
      const auto first = static_cast<std::size_t>(run.batch.parameters.offset(f.segment));
      const auto count = static_cast<std::size_t>(run.batch.parameters.tensor(f.segment).size());
      for (std::size_t i = first; i < first + count; ++i) d[i] *= f.factor;
    }
    quadratic_form = dot(d, multiply(F, d));
    theta = sum(std::get<FixedRate>(options.step).rate, d, theta);
  }
};

void check_steps(const Structured& structured, Options options, bool gradient_given,
                 bool in_parts) {
  SCOPED_TRACE(testing::Message() << structured.name << ", " << to_string(options.form)
                                  << ", momentum " << options.momentum.index() << ", l2 "
                                  << options.l2 << ", factors " << options.rate_factors.size()
                                  << (gradient_given ? ", gradient given" : "")
                                  << (in_parts ? ", in parts" : ""));
  options.structure = structured.structure;
  options.groups = structured.groups;
  options.damping = {.absolute = lambda};
  options.step = FixedRate{0.2};
  WeightedTraining run(options);
  Plain plain{.options = options, .structured = structured, .theta = run.batch.theta_numbers()};
  for (int k = 0; k < 3; ++k) {
    run.draw();
    run.step(gradient_given, in_parts);
    plain.step(run, gradient_given);
    EXPECT_TRUE(relative_error_within(run.batch.theta_numbers(), plain.theta, 10 * same));
    const StepReport report = run.optimizer.report();
    EXPECT_EQ(report.outcome, Outcome::accepted);
    EXPECT_EQ(report.structure, structured.structure);
    if (structured.structure == Structure::diagonal) {
      EXPECT_EQ(report.form, Form::primal);
    } else {
      EXPECT_EQ(report.form, options.form);
    }
    EXPECT_EQ(report.damping, lambda);
    EXPECT_FALSE(report.predicted_kl.has_value()) << "it is of the full matrix";
    EXPECT_TRUE(
        within(report.quadratic_form, plain.quadratic_form, 1e3 * same * plain.quadratic_form));
    EXPECT_TRUE(report.residual <= same);
    EXPECT_TRUE(report.error_bound > 0 && report.error_bound <= same);
  }
}

template <class Body>
void for_all_structures(const Body& body) {
  for (const Structured& structured : structures()) {
    for (Form form : forms) {
      if (structured.structure == Structure::diagonal && form == Form::dual) continue;
      body(structured, form);
    }
  }
}

TEST(structure_step, is_that_of_the_formulas) {
  for_all_structures([](const Structured& structured, Form form) {
    for (const Momentum& momentum : momenta) {
      for (double l2 : {0.0, 0.3}) {
        for (bool gradient_given : {false, true}) {
          for (bool in_parts : {false, true}) {
            check_steps(structured, {.momentum = momentum, .l2 = l2, .form = form}, gradient_given,
                        in_parts);
          }
        }
      }
    }
  });
}

TEST(structure_step, tensors_have_rates_of_their_own) {
  for_all_structures([](const Structured& structured, Form form) {
    for (const Momentum& momentum : momenta) {
      for (bool in_parts : {false, true}) {
        check_steps(structured,
                    {.momentum = momentum, .rate_factors = {{{0}, 2}, {{3}, 0.5}}, .form = form},
                    false, in_parts);
      }
    }
  });
}

TEST(structure_step, frozen_tensors_stay) {
  for_all_structures([](const Structured& structured, Form form) {
    for (int frozen : {0, 1, 3}) {
      // A frozen tensor has no part in any block, and the others do not see it in theirs: with the
      // columns of S set to 0 they are the same.
      SCOPED_TRACE(testing::Message() << structured.name << ", segment " << frozen);
      WeightedTraining run({.damping = {.absolute = lambda},
                            .step = FixedRate{0.2},
                            .momentum = NoMomentum{},
                            .rate_factors = {{{frozen}, 0}},
                            .structure = structured.structure,
                            .groups = structured.groups,
                            .form = form});
      const Numbers before = run.batch.theta_numbers();
      run.draw();
      run.step(false, false);
      EXPECT_EQ(run.optimizer.report().outcome, Outcome::accepted);
      Table S = run.S();
      const auto first = static_cast<std::size_t>(run.batch.parameters.offset({frozen}));
      const auto count = static_cast<std::size_t>(run.batch.parameters.tensor({frozen}).size());
      for (std::size_t n = 0; n < samples; ++n) {
        for (std::size_t i = first; i < first + count; ++i) S(n, i) = 0;
      }
      const Numbers g = multiply(
          transposed(S), right_hand_side(run.weights.numbers(), run.coefficients.numbers()));
      const Table F = within_structure(gram(transposed(S)), structured, run.batch.parameters);
      const Numbers expected = sum(0.2, solve(F, lambda, g), before);
      EXPECT_TRUE(relative_error_within(run.batch.theta_numbers(), expected, 10 * same));
      Tensor<double> direction = zeros<double>(static_cast<std::int64_t>(size));
      run.optimizer.direction(run.part(0, samples), direction.view());
      EXPECT_TRUE(relative_error_within(direction.numbers(), solve(F, lambda, g), 10 * same));
      EXPECT_EQ(run.optimizer.direction_report().structure, structured.structure);
    }
  });
}

TEST(structure_step, one_block_takes_the_steps_of_the_full_matrix) {
  for (Form form : {Form::automatic, Form::primal, Form::dual}) {
    for (const Momentum& momentum : momenta) {
      Options options{.damping = damping, .momentum = momentum, .form = form};
      WeightedTraining full(options);
      options.structure = Structure::block_diagonal;
      options.groups = one_group(full.batch.parameters);
      WeightedTraining blocks(options);
      for (bool in_parts : {false, true, false}) {
        for (WeightedTraining* run : {&full, &blocks}) {
          run->draw();
          run->step(false, in_parts);
        }
        expect_same_bits(blocks.batch.theta_memory(), full.batch.theta_memory());
        const StepReport report = blocks.optimizer.report();
        EXPECT_EQ(report.form, full.optimizer.report().form);
        EXPECT_EQ(report.quadratic_form, full.optimizer.report().quadratic_form);
        EXPECT_EQ(report.damping, full.optimizer.report().damping);
      }
    }
  }
}

TEST(structure_step, a_failed_block_leaves_everything_as_it_was) {
  for (const Structured& structured : structures()) {
    SCOPED_TRACE(structured.name);
    WeightedTraining run({.damping = {.absolute = lambda},
                          .step = FixedRate{0.2},
                          .structure = structured.structure,
                          .groups = structured.groups});
    run.draw();
    run.step(false, false);
    const auto before = run.batch.theta_memory();
    // A score of the last layer alone.
    const double score = run.batch.factors.back()(3, 1);
    run.batch.factors.back()(3, 1) = nan;
    run.step(false, false);
    EXPECT_EQ(run.optimizer.report().outcome, Outcome::not_finite);
    run.batch.factors.back()(3, 1) = score;
    expect_same_bits(run.batch.theta_memory(), before);
    run.step(false, false);
    EXPECT_EQ(run.optimizer.report().outcome, Outcome::accepted);
  }
}

TEST(structure_step, a_rule_of_the_full_matrix_is_refused) {
  const LayeredBatch<double> batch({.layers = layers, .samples = 4});
  for (Structure structure : {Structure::block_diagonal, Structure::diagonal}) {
    try {
      const NaturalGradient optimizer(batch.parameters,
                                      {.step = KlTrustRegion{}, .structure = structure});
      ADD_FAILURE() << "nothing was thrown";
    } catch (const OptionError& error) {
      const std::string text = error.what();
      EXPECT_NE(text.find("KlTrustRegion"), std::string::npos) << text;
      EXPECT_NE(text.find(to_string(structure)), std::string::npos) << text;
    }
  }
  EXPECT_THROW(NaturalGradient(batch.parameters, {.structure = static_cast<Structure>(3)}),
               OptionError);
}

TEST(structure_step, a_checkpoint_is_of_one_structure) {
  const std::string path =
      (std::filesystem::temp_directory_path() / "natgrad_structure_step.checkpoint").string();
  constexpr std::array all = {Structure::full, Structure::block_diagonal, Structure::diagonal};
  for (Structure structure : all) {
    WeightedTraining run({.damping = damping, .structure = structure});
    run.draw();
    run.step(false, false);
    save(path, run.optimizer);
    for (Structure other : all) {
      SCOPED_TRACE(testing::Message() << to_string(structure) << " to " << to_string(other));
      WeightedTraining reader({.damping = damping, .structure = other});
      const auto before = reader.batch.theta_memory();
      if (other == structure) {
        load(path, reader.optimizer);
        reader.random = run.random;
        for (WeightedTraining* continued : {&run, &reader}) {
          continued->draw();
          continued->step(false, false);
          EXPECT_EQ(continued->optimizer.report().step, 2);
          EXPECT_EQ(continued->optimizer.report().structure, structure);
        }
        expect_same_bits(reader.batch.theta_memory(), run.batch.theta_memory());
        continue;
      }
      try {
        load(path, reader.optimizer);
        ADD_FAILURE() << "nothing was thrown";
      } catch (const Error& error) {
        const std::string text = error.what();
        for (Structure side : {structure, other}) {
          if (side == Structure::full) continue;
          EXPECT_NE(text.find(std::string(to_string(side)) + " natural gradient"),
                    std::string::npos)
              << text;
        }
      }
      expect_same_bits(reader.batch.theta_memory(), before);
    }
  }
  std::filesystem::remove(path);
}

}  // namespace

}  // namespace natgrad::tests
