#pragma once

#include "support/operation_table.hpp"
#include "support/tolerance.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <string>
#include <utility>
#include <vector>

// Cases of scalar formulas. The reference implementation runs the same formulas, so that results
// are also compared with numbers worked out by hand.

namespace natgrad::tests {

inline constexpr double nan = std::numeric_limits<double>::quiet_NaN();
inline constexpr double infinity = std::numeric_limits<double>::infinity();

/// All that a formula reads or writes.
struct Scalars {
  DampingState damping;
  CenteringScalars centering;
  SolveScalars solve;
  SolveScalars sum;
  RateSettings settings;
  Counters counters;
  KlTrustRegionState trust_region;
  QuadraticModelScalars model;
  GeodesicState geodesic_state;
  GeodesicScalars geodesic;
  StepScalars step;
  TrialScalars trial;
  StepRecord record;
  TensorUnit unit;
  double factor;
};
inline constexpr std::size_t scalars_count = sizeof(Scalars) / sizeof(double);

/// An ordinary step in the middle of its work, in numbers that a hand can work with. In
/// `JudgeSolve` |A| is 64 and the amplification 64 / 4 = 16.
inline Scalars ordinary() {
  const SolveScalars solve = {.norm = 128,
                              .trace = 64,
                              .damping = 2.5,
                              .shift = 4,
                              .inverse_shift = 0.25,
                              .matrix_finite = 1,
                              .info = 0,
                              .pivot_ratio = 0.125,
                              .pivot = 2,
                              .inverse_norm = 0,
                              .rhs_square = 4,
                              .residual_square = 0.25,
                              .unrefined_square = std::numeric_limits<double>::infinity(),
                              .residual = 0.25,
                              .solution_square = 9,
                              .gradient_square = 9,
                              .direction_square = 0.25,
                              .stored_square = 0,
                              .error_bound = 0.375,
                              .quadratic_form = 6,
                              .quadratic_error = 2,
                              .outcome = 0};
  return {
      .damping = {.absolute = 0.5, .relative = 2, .l2 = 1.5},
      .centering = {.weight = 4,
                    .moment = 16,
                    .coefficients = 0.5,
                    .scale = 7,
                    .shift = 11,
                    .error = 0.75,
                    .reference = 13,
                    .first_square = 0},
      .solve = solve,
      .sum = solve,
      .settings =
          {.rate = 0.5, .decay = 0, .decay_steps = 4, .max_norm = infinity, .weight_decay = 0.25},
      .counters = {.attempts = 41, .accepted = 20, .failures = 3},
      .trust_region = {.radius = 0.25},
      // With the shift of 4 and eta of 3/2: [8 4; 4 12] (alpha, mu) = (16, 20).
      .model = {.square_d = 1,
                .square_dp = 0.5,
                .square_p = 2,
                .fisher_d = 4,
                .fisher_dp = 2,
                .fisher_p = 4,
                .slope_d = 19,
                .slope_p = 26,
                .theta_d = 2,
                .theta_p = 4},
      .geodesic_state = {.last_rate = 0.25},
      .geodesic = {.probe = 0.5,
                   .of_difference = 3,
                   .of_slope = 5,
                   .probe_finite = 1,
                   .probes = 1,
                   .second_square = 2,
                   .product_square = 3,
                   .straight = 7,
                   .half_square = 11,
                   .best_loss = 4,
                   .best_rate = 0.125,
                   .done = 0},
      .step =
          {.rate = 0.5, .shrink = 17, .step_square = 4, .finite = 1, .outcome = 1, .accept = 19},
      // A loss that falls by 1/2 where slope and curvature promise 3/2 - 1/8 at a rate of 1/2.
      .trial = {.loss_before = 8,
                .measured = 7.5,
                .measured_kl = 0.125,
                .loss = 7.5,
                .kl = 0.125,
                .slope = 3,
                .curvature = 1,
                .parameter_square = 0,
                .parameter_step = 0,
                .step_square = 0,
                .open = 1,
                .passed = 0,
                .restore = 5,
                .count = 1,
                .informative = 1,
                .ratio = 0.5,
                .model_rate = 7,
                .momentum = 9},
      .record = {},
      .unit = {.diagonal = 4,
               .inverse_root = nan,
               .root = nan,
               .row_factor = nan,
               .row_root = nan,
               .pull = nan},
      .factor = nan};
}

inline std::vector<double> elements_of(const Scalars& scalars) {
  std::vector<double> elements(scalars_count);
  std::memcpy(elements.data(), &scalars, sizeof(scalars));
  return elements;
}

using Number = double (*)(const Scalars&);

struct Example {
  void (*change)(Scalars&);
  struct Expected {
    Number number;
    double value;
  };
  std::vector<Expected> expected = {};
};

/// `formula(at)` for scalars at an address of any device.
inline void add_formula(OperationTable& table, const std::string& name,
                        const std::function<ScalarFormula(Scalars* at)>& formula,
                        const std::vector<Example>& examples) {
  table.add("evaluate", name, [=](TestDevice& device) {
    for (std::size_t i = 0; i < examples.size(); ++i) {
      SCOPED_TRACE("example " + std::to_string(i));
      Scalars before = ordinary();
      examples[i].change(before);
      const std::vector<double> elements = elements_of(before);
      Trial trial(device);
      const Operand scalars = trial.vector(ElementType::float64, Use::both, elements);
      trial.run([&](Backend& backend, const Side& of) {
        const View view = of(scalars);
        // Absolute values may take another branch; errors are measured by the results themselves.
        if (of.place() == Side::magnitude) backend.upload(elements.data(), view);
        backend.evaluate(formula(reinterpret_cast<Scalars*>(view.as<double>())));
      });
      trial.expect_rounded(scalars, 4);
      Scalars after;
      std::memcpy(&after, trial.actual(scalars).data(), sizeof(after));
      for (std::size_t k = 0; k < examples[i].expected.size(); ++k) {
        const auto [number, value] = examples[i].expected[k];
        EXPECT_TRUE(
            within(number(after), value, rounding_bound(4, ElementType::float64, std::abs(value))))
            << "number " << k;
      }
    }
  });
}

}  // namespace natgrad::tests
