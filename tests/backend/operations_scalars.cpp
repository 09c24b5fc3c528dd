#include "support/operation_table.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <limits>
#include <string>
#include <vector>

// The scalars of a solve and of a step: every branch of every rule.

namespace natgrad::tests {

namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();
constexpr double infinity = std::numeric_limits<double>::infinity();

/// An ordinary step in the middle of its work.
StepScalars ordinary() {
  StepScalars s{};
  s.rate = 0.1;
  s.weight_decay = 1e-2;
  s.absolute_damping = 1e-3;
  s.relative_damping = 1e-2;
  s.norm = 5;
  s.trace = 7;
  s.damping = 0.02;
  s.l2 = 0.01;
  s.spring = 0.7;
  s.shift = 0.03;
  s.gradient_square = 11;
  s.direction_square = 13;
  s.centre_square = 0.8;
  s.centre_moment = 1.6;
  s.centre_product = 0.3;
  s.centre_error = 0.01;
  s.solution_square = 17;
  s.schedule_steps = 50;
  s.max_norm = 1e9;
  s.step_square = 6;
  s.taken = 20;
  s.matrix_finite = 1;
  s.info = 0;
  s.rhs_square = 3;
  s.residual_square = 1e-12;
  s.residual = 0.5;
  s.error_bound = 0.25;
  s.quadratic_form = 2;
  s.scratch = -11;
  s.shrink = 0.125;
  s.update_finite = 1;
  s.outcome = 0;
  s.accept = 1;
  s.step = 41;
  s.failures = 3;
  return s;
}

std::vector<double> elements_of(const StepScalars& scalars) {
  std::vector<double> elements(step_scalars_count);
  std::memcpy(elements.data(), &scalars, sizeof(scalars));
  return elements;
}

using Change = void (*)(StepScalars&);

void add_rule(OperationTable& table, const std::string& name, ScalarRule rule,
              const std::vector<Change>& changes, BoundRule bound = BoundRule::primal,
              MeanRule mean = MeanRule::none) {
  table.add("update_scalars", name, [=](TestDevice& device) {
    for (std::size_t i = 0; i < changes.size(); ++i) {
      SCOPED_TRACE("change " + std::to_string(i));
      StepScalars before = ordinary();
      changes[i](before);
      Trial trial(device);
      const Operand scalars = trial.vector(ElementType::float64, Use::both, elements_of(before));
      trial.run([&](Backend& backend, const Side& of) {
        backend.update_scalars(
            rule,
            {.rank = 6, .epsilon = 0x1p-24, .bound = bound, .mean = mean, .rounding = 0x1p-26},
            of(scalars));
      });
      trial.expect_rounded(scalars, 4);
    }
  });
}

}  // namespace

void add_scalar_cases(OperationTable& table) {
  add_rule(
      table, "begin_step", ScalarRule::begin_step,
      {[](StepScalars&) {}, [](StepScalars& s) { s.update_finite = 0; },
       [](StepScalars& s) { s.step = 0; }, [](StepScalars& s) { s.schedule = 1; },
       [](StepScalars& s) { s.schedule = 1, s.taken = 51; }, [](StepScalars& s) { s.schedule = 2; },
       [](StepScalars& s) { s.kl_radius = 1e-3; }, [](StepScalars& s) { s.kl_radius = 1e3; },
       [](StepScalars& s) { s.kl_radius = 1e-3, s.quadratic_form = 0; },
       [](StepScalars& s) { s.kl_radius = 1e-3, s.max_norm = 1e-4; },
       [](StepScalars& s) { s.max_norm = 0.01; }, [](StepScalars& s) { s.max_norm = infinity; },
       [](StepScalars& s) { s.max_norm = 0.01, s.step_square = 0; }});
  for (MeanRule mean : {MeanRule::removed, MeanRule::kept}) {
    const std::string name = "mean_" + std::to_string(static_cast<int>(mean));
    const std::vector<Change> changes{[](StepScalars&) {},
                                      [](StepScalars& s) { s.centre_square = 0; }};
    add_rule(table, "damp_" + name, ScalarRule::damp, changes, BoundRule::primal, mean);
    add_rule(table, "judge_solve_" + name, ScalarRule::judge_solve, changes,
             BoundRule::push_through, mean);
  }
  add_rule(table, "damp", ScalarRule::damp,
           {[](StepScalars&) {}, [](StepScalars& s) { s.relative_damping = 0; },
            [](StepScalars& s) { s.trace = -1e-18; }, [](StepScalars& s) { s.norm = nan; },
            [](StepScalars& s) { s.norm = infinity; }, [](StepScalars& s) { s.trace = nan; },
            [](StepScalars& s) { s.trace = -infinity; },
            [](StepScalars& s) { s.absolute_damping = nan; }, [](StepScalars& s) { s.l2 = 0; },
            [](StepScalars& s) { s.matrix_finite = 0; }});
  add_rule(table, "centre", ScalarRule::centre,
           {[](StepScalars&) {}, [](StepScalars& s) { s.centre_square = 0; }});
  add_rule(table, "centre_fisher", ScalarRule::centre_fisher,
           {[](StepScalars&) {}, [](StepScalars& s) { s.centre_square = 0; },
            [](StepScalars& s) { s.residual_square = 0; }});
  for (BoundRule bound :
       {BoundRule::push_through, BoundRule::general, BoundRule::primal, BoundRule::refined,
        BoundRule::refined_general, BoundRule::refined_centre}) {
    const std::string name = "judge_solve_" + std::to_string(static_cast<int>(bound));
    add_rule(
        table, name, ScalarRule::judge_solve,
        {[](StepScalars&) {}, [](StepScalars& s) { s.norm = 9; },
         [](StepScalars& s) { s.shift = 0; }, [](StepScalars& s) { s.shift = 100; },
         [](StepScalars& s) { s.rhs_square = 0; }, [](StepScalars& s) { s.residual_square = 0; },
         [](StepScalars& s) { s.gradient_square = 0; },
         [](StepScalars& s) { s.direction_square = 0; }, [](StepScalars& s) { s.rhs_square = nan; },
         [](StepScalars& s) { s.rhs_square = infinity; },
         [](StepScalars& s) { s.matrix_finite = 0; }, [](StepScalars& s) { s.info = 3; },
         [](StepScalars& s) { s.matrix_finite = 0, s.info = 3; },
         [](StepScalars& s) { s.quadratic_form = infinity; },
         [](StepScalars& s) { s.quadratic_form = -1e-18; },
         [](StepScalars& s) { s.info = 2, s.quadratic_form = nan; },
         [](StepScalars& s) { s.outcome = 3, s.accept = 0; }},
        bound);
  }
  add_rule(table, "judge_solve_not_finite", ScalarRule::judge_solve,
           {[](StepScalars& s) { s.residual_square = nan; },
            [](StepScalars& s) { s.info = 2, s.residual_square = nan; }});
  add_rule(table, "judge_step", ScalarRule::judge_step,
           {[](StepScalars&) {}, [](StepScalars& s) { s.update_finite = 0; },
            [](StepScalars& s) { s.outcome = 2, s.accept = 0; },
            [](StepScalars& s) { s.outcome = 3, s.accept = 0; },
            [](StepScalars& s) { s.outcome = 3, s.accept = 0, s.update_finite = 0; },
            [](StepScalars& s) { s.outcome = 1, s.accept = 0; }});

  table.add("publish", "", [](TestDevice& device) {
    for (std::int64_t count : {1, 2, 64}) {
      for (double step : {1.0, 2.0, 3.0, 64.0, 65.0, 1e15}) {
        SCOPED_TRACE(std::to_string(count) + " slots, step " + std::to_string(step));
        StepScalars before = ordinary();
        before.step = step;
        before.residual = nan;
        Trial trial(device);
        const Operand scalars = trial.vector(ElementType::float64, Use::input, elements_of(before));
        const Operand slots =
            trial.matrix(count, step_scalars_count, ElementType::float64, Use::both);
        trial.run(
            [&](Backend& backend, const Side& of) { backend.publish(of(scalars), of(slots)); });
        trial.expect_equal(slots);
      }
    }
  });
}

}  // namespace natgrad::tests
