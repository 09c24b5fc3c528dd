#include "support/scalar_examples.hpp"

// The formulas of a step: every branch of each; and what is published of it.

namespace natgrad::tests {

namespace {

constexpr Number solve_outcome = [](const Scalars& s) { return s.solve.outcome; };
constexpr Number rate = [](const Scalars& s) { return s.step.rate; };

constexpr auto as_it_is = [](Scalars&) {};

void add_step(OperationTable& table) {
  constexpr Number attempts = [](const Scalars& s) { return s.counters.attempts; };
  constexpr Number shrink = [](const Scalars& s) { return s.step.shrink; };
  constexpr Number finite = [](const Scalars& s) { return s.step.finite; };
  add_formula(table, "begin_step",
              [](Scalars* at) -> ScalarFormula {
                return formulas::BeginStep{&at->settings, &at->counters, &at->step};
              },
              {{[](Scalars& s) { s.step.rate = nan; }, {{attempts, 42}, {rate, 0.5}}},
               {[](Scalars& s) { s.settings.decay = 1, s.counters.accepted = 1; }, {{rate, 0.375}}},
               {[](Scalars& s) { s.settings.decay = 1, s.counters.accepted = 4; }, {{rate, 0}}},
               {[](Scalars& s) { s.settings.decay = 1, s.counters.accepted = 9; }, {{rate, 0}}},
               {[](Scalars& s) { s.settings.decay = 2, s.counters.accepted = 0; }, {{rate, 0.5}}},
               {[](Scalars& s) { s.settings.decay = 2, s.counters.accepted = 2; }, {{rate, 0.25}}},
               // (1 + cos(pi / 4)) / 4
               {[](Scalars& s) { s.settings.decay = 2, s.counters.accepted = 1; },
                {{rate, 0.42677669529663688}}},
               {[](Scalars& s) { s.settings.decay = 2, s.counters.accepted = 9; }, {{rate, 0}}}});

  add_formula(
      table, "kl_trust_region_rate",
      [](Scalars* at) -> ScalarFormula {
        return formulas::KlTrustRegionRate{&at->trust_region, &at->solve, &at->step};
      },
      {{as_it_is, {{rate, 0.25}}},  // sqrt(2 0.25 / (6 + 2))
       {[](Scalars& s) { s.step.rate = 0.125; }, {{rate, 0.125}}},
       {[](Scalars& s) { s.solve.quadratic_form = s.solve.quadratic_error = 0; }, {{rate, 0.5}}},
       {[](Scalars& s) { s.solve.quadratic_form = nan; }, {{rate, 0.5}}},
       {[](Scalars& s) { s.solve.quadratic_form = infinity; }, {{rate, 0}}}});

  add_formula(
      table, "limit_step",
      [](Scalars* at) -> ScalarFormula {
        return formulas::LimitStep{&at->settings, &at->step};
      },
      {{[](Scalars& s) { s.step.finite = 0; }, {{rate, 0.5}, {shrink, 0.125}, {finite, 1}}},
       {[](Scalars& s) { s.settings.max_norm = 0.25; }, {{rate, 0.125}, {shrink, 0.03125}}},
       {[](Scalars& s) { s.settings.max_norm = 1.25; }, {{rate, 0.5}}},
       {[](Scalars& s) { s.settings.max_norm = 0.25, s.step.step_square = 0; }, {{rate, 0.5}}},
       {[](Scalars& s) { s.settings.max_norm = 0.25, s.step.step_square = nan; }, {{rate, 0.5}}},
       {[](Scalars& s) { s.settings.weight_decay = 0; }, {{shrink, 0}}}});
}

void add_verdicts(OperationTable& table) {
  constexpr Number outcome = [](const Scalars& s) { return s.step.outcome; };
  constexpr Number accept = [](const Scalars& s) { return s.step.accept; };
  constexpr Number accepted = [](const Scalars& s) { return s.counters.accepted; };
  constexpr Number failures = [](const Scalars& s) { return s.counters.failures; };
  const auto failed = [=](double why) -> std::vector<Example::Expected> {
    return {{outcome, why},
            {accept, 0},
            {accepted, 20},
            {failures, 4},
            {[](const Scalars& s) { return s.record.outcome; }, why},
            {[](const Scalars& s) { return s.record.failures; }, 4}};
  };
  constexpr Number not_finite = [](const Scalars& s) { return s.record.not_finite; };
  const auto judge = [](double gradient_given) {
    return [=](Scalars* at) -> ScalarFormula {
      return formulas::JudgeStep{&at->solve, &at->step, &at->counters, &at->record,
                                 2,          1,         gradient_given};
    };
  };
  // An outcome of 2 by the first operand that is not finite.
  for (const double given : {0.0, 1.0}) {
    add_formula(
        table, given != 0 ? "judge_step_with_gradient" : "judge_step_without_gradient",
        judge(given),
        {{as_it_is, {{not_finite, 0}}},
         {[](Scalars& s) { s.solve.outcome = 3, s.solve.rhs_square = nan; }, {{not_finite, 0}}},
         {[](Scalars& s) {
            s.solve.outcome = 2, s.solve.matrix_finite = 0, s.solve.rhs_square = nan;
            s.step.finite = 0;
          },
          {{not_finite, 1}}},
         {[](Scalars& s) {
            s.solve.outcome = 2, s.solve.rhs_square = nan;
            s.step.finite = 0;
          },
          {{not_finite, given != 0 ? 3.0 : 2.0}}},
         {[](Scalars& s) { s.solve.outcome = 2, s.step.finite = 0; }, {{not_finite, 4}}},
         {[](Scalars& s) { s.step.finite = 0; }, {{not_finite, 5}}}});
  }
  add_formula(table, "judge_step", judge(0),
              {{as_it_is,
                {{outcome, 0},
                 {accept, 1},
                 {accepted, 21},
                 {failures, 0},
                 {[](const Scalars& s) { return s.record.step; }, 41},
                 {[](const Scalars& s) { return s.record.outcome; }, 0},
                 {[](const Scalars& s) { return s.record.form; }, 2},
                 {[](const Scalars& s) { return s.record.predicts_kl; }, 1},
                 {[](const Scalars& s) { return s.record.rate; }, 0.5},
                 {[](const Scalars& s) { return s.record.damping; }, 2.5},
                 {[](const Scalars& s) { return s.record.quadratic_form; }, 6},
                 {[](const Scalars& s) { return s.record.residual; }, 0.25},
                 {[](const Scalars& s) { return s.record.error_bound; }, 0.375},
                 {[](const Scalars& s) { return s.record.failures; }, 0}}},
               {[](Scalars& s) { s.step.finite = 0; }, failed(2)},
               {[](Scalars& s) { s.solve.outcome = 1; }, failed(1)},
               {[](Scalars& s) { s.solve.outcome = 2; }, failed(2)},
               {[](Scalars& s) { s.solve.outcome = 3; }, failed(3)},
               {[](Scalars& s) { s.solve.outcome = 3, s.step.finite = 0; }, failed(3)}});
  add_formula(table, "judge_direction",
              [](Scalars* at) -> ScalarFormula {
                return formulas::JudgeDirection{&at->solve, &at->step};
              },
              {{as_it_is, {{solve_outcome, 0}, {accept, 1}}},
               {[](Scalars& s) { s.step.finite = 0; }, {{solve_outcome, 2}, {accept, 0}}},
               {[](Scalars& s) { s.solve.outcome = 3; }, {{solve_outcome, 3}, {accept, 0}}},
               {[](Scalars& s) { s.solve.outcome = 3, s.step.finite = 0; },
                {{solve_outcome, 3}, {accept, 0}}}});
}

}  // namespace

void add_step_scalar_cases(OperationTable& table) {
  add_step(table);
  add_verdicts(table);

  table.add("publish", "", [](TestDevice& device) {
    // Of one number, of as many as a step has, and of more than a block has threads.
    for (std::int64_t numbers : {1, 2, 10, 300}) {
      for (std::int64_t count : {1, 2, 64}) {
        for (double step : {1.0, 2.0, 3.0, 64.0, 65.0, 1e15}) {
          SCOPED_TRACE(std::to_string(numbers) + " numbers, " + std::to_string(count) +
                       " slots, step " + std::to_string(step));
          Trial trial(device);
          const Operand record = trial.vector(numbers, ElementType::float64, Use::input);
          std::vector<double> elements = trial.given(record);
          elements.back() = nan;
          elements.front() = step;
          trial.set(record, elements);
          const Operand slots = trial.matrix(count, numbers, ElementType::float64, Use::both);
          trial.run(
              [&](Backend& backend, const Side& of) { backend.publish(of(record), of(slots)); });
          trial.expect_equal(slots);
        }
      }
    }
  });
}

}  // namespace natgrad::tests
