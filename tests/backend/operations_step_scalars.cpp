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

void add_trials(OperationTable& table) {
  constexpr Number open = [](const Scalars& s) { return s.trial.open; };
  constexpr Number passed = [](const Scalars& s) { return s.trial.passed; };
  constexpr Number restore = [](const Scalars& s) { return s.trial.restore; };
  constexpr Number count = [](const Scalars& s) { return s.trial.count; };
  constexpr Number loss = [](const Scalars& s) { return s.trial.loss; };
  constexpr Number ratio = [](const Scalars& s) { return s.trial.ratio; };
  constexpr Number informative = [](const Scalars& s) { return s.trial.informative; };
  constexpr Number shrink = [](const Scalars& s) { return s.step.shrink; };
  constexpr Number finite = [](const Scalars& s) { return s.step.finite; };
  add_formula(table, "begin_trials",
              [](Scalars* at) -> ScalarFormula {
                return formulas::BeginTrials{&at->trial, 1.5};
              },
              {{as_it_is,
                {{[](const Scalars& s) { return s.trial.loss_before; }, 8},
                 {[](const Scalars& s) { return s.trial.slope; }, 3},
                 {[](const Scalars& s) { return s.trial.curvature; }, 1},
                 {open, 0},
                 {restore, 0},
                 {count, 0}}},
               {[](Scalars& s) {
                  s.trial.parameter_square = 4, s.trial.parameter_step = 2;
                  s.trial.step_square = 6;
                },
                {{[](const Scalars& s) { return s.trial.loss_before; }, 11},
                 {[](const Scalars& s) { return s.trial.slope; }, 0},
                 {[](const Scalars& s) { return s.trial.curvature; }, 10}}}});
  add_formula(table, "open_trial",
              [](Scalars* at) -> ScalarFormula {
                return formulas::OpenTrial{&at->trial, &at->solve, &at->step};
              },
              {{as_it_is, {{open, 1}}},
               {[](Scalars& s) { s.trial.passed = 1; }, {{open, 0}}},
               {[](Scalars& s) { s.solve.outcome = 3; }, {{open, 0}}},
               {[](Scalars& s) { s.step.finite = 0; }, {{open, 0}}},
               {[](Scalars& s) { s.trial.loss_before = nan; }, {{open, 0}}},
               {[](Scalars& s) { s.trial.loss_before = infinity; }, {{open, 0}}}});
  const auto judge = [](double share, double radius, bool last, double epsilon = 0x1p-52) {
    return [=](Scalars* at) -> ScalarFormula {
      return formulas::JudgeTrial{&at->trial, &at->solve, &at->step, &at->settings, 1.5,
                                  epsilon,    share,      radius,    0.5,           last};
    };
  };
  // Promised are 3/2 of the slope alone, 11/8 of the model.
  const std::vector<Example::Expected> good{{passed, 1}, {restore, 0}, {count, 2}, {rate, 0.5}};
  const std::vector<Example::Expected> bad{{passed, 0},  {restore, 1},     {count, 2},
                                           {rate, 0.25}, {shrink, 0.0625}, {finite, 1}};
  add_formula(
      table, "judge_trial", judge(0, infinity, false),
      {{as_it_is, good},
       {as_it_is, {{ratio, 0.5 / 1.375}, {informative, 1}, {loss, 7.5}}},
       {[](Scalars& s) { s.trial.measured = 8; }, good},
       {[](Scalars& s) { s.trial.measured = 8 + 0x1p-48; }, good},
       {[](Scalars& s) { s.trial.measured = 8 + 0x1p-44; }, bad},
       {[](Scalars& s) { s.trial.measured = nan; }, bad},
       {[](Scalars& s) { s.trial.measured = -infinity; }, bad},
       {[](Scalars& s) { s.trial.slope = nan; }, good},
       // A model that promises nothing says nothing.
       {[](Scalars& s) { s.trial.slope = 0, s.trial.curvature = 0; }, {{ratio, 1}, {passed, 1}}},
       {[](Scalars& s) { s.trial.slope = -1; }, {{ratio, 1}, {informative, 0}}},
       // eta (4/2 + 2/2 + 4/8) = 21/4
       {[](Scalars& s) {
          s.trial.parameter_square = 4, s.trial.parameter_step = 2, s.trial.step_square = 4;
          s.trial.measured = 1;
        },
        {{loss, 6.25}, {passed, 1}}},
       {[](Scalars& s) { s.trial.open = 0; }, {{passed, 0}, {restore, 0}, {rate, 0.25}}},
       {[](Scalars& s) { s.trial.passed = 1, s.trial.measured = 3; },
        {{passed, 1}, {restore, 0}, {count, 1}, {rate, 0.5}, {ratio, 0.5}, {loss, 7.5}}}});
  // In float 8 units of 8 are 2^-17.
  add_formula(table, "judge_trial_in_float", judge(0, infinity, false, 0x1p-23),
              {{as_it_is, good},
               {[](Scalars& s) { s.trial.measured = 8 + 0x1p-17; }, good},
               {[](Scalars& s) { s.trial.measured = 8 + 0x1p-16; }, bad},
               {[](Scalars& s) { s.trial.slope = 0x1p-16, s.trial.curvature = 0; },
                {{ratio, 1}, {informative, 0}}},
               {[](Scalars& s) { s.trial.slope = 0x1p-15, s.trial.curvature = 0; },
                {{ratio, 0x1p15}, {informative, 1}}}});
  const std::vector<Example::Expected> untried{
      {passed, 0}, {restore, 0}, {count, 1}, {rate, 0.5}, {loss, 7.5}};
  add_formula(table, "judge_no_trial", judge(0, infinity, false),
              {{[](Scalars& s) { s.trial.open = 0, s.solve.outcome = 1; }, untried},
               {[](Scalars& s) { s.trial.open = 0, s.solve.outcome = 3; }, untried},
               {[](Scalars& s) { s.trial.open = 0, s.trial.loss_before = nan; }, untried},
               {[](Scalars& s) { s.trial.open = 0, s.trial.loss_before = infinity; }, untried}});
  add_formula(table, "judge_trial_by_slope", judge(0.25, infinity, false),
              {{as_it_is, good},  // 1/4 of 3/2
               {[](Scalars& s) { s.trial.measured = 7.75; }, bad},
               {[](Scalars& s) { s.trial.slope = -8; }, good},
               {[](Scalars& s) { s.trial.slope = -8, s.trial.measured = 8.5; }, bad},
               {[](Scalars& s) { s.trial.slope = nan; }, bad}});
  add_formula(table, "judge_trial_by_divergence", judge(0, 0.125, false),
              {{as_it_is, good},
               // A thousandth more is the radius, too.
               {[](Scalars& s) { s.trial.measured_kl = 0.125 * (1 + 0x1p-10); }, good},
               {[](Scalars& s) { s.trial.measured_kl = 0.125 * (1 + 0x1p-9); }, bad},
               {[](Scalars& s) { s.trial.measured_kl = 0.25; }, bad},
               {[](Scalars& s) { s.trial.measured_kl = nan; }, bad},
               {[](Scalars& s) { s.trial.measured_kl = -infinity; }, bad}});
  add_formula(table, "judge_last_trial", judge(0, infinity, true),
              {{as_it_is, good},
               {[](Scalars& s) { s.trial.measured = 9, s.step.finite = 1; },
                {{passed, 0}, {restore, 1}, {count, 2}, {rate, 0.5}}},
               {[](Scalars& s) { s.trial.open = 0, s.step.finite = 0; },
                {{passed, 0}, {restore, 0}, {finite, 0}, {rate, 0.5}}}});
}

void add_strategies(OperationTable& table) {
  constexpr Number alpha = [](const Scalars& s) { return s.trial.model_rate; };
  constexpr Number mu = [](const Scalars& s) { return s.trial.momentum; };
  constexpr Number form = [](const Scalars& s) { return s.solve.quadratic_form; };
  add_formula(table, "choose_step_of_model",
              [](Scalars* at) -> ScalarFormula {
                return formulas::ChooseStepOfModel{&at->model, 1.5, &at->solve, &at->trial};
              },
              {{as_it_is, {{alpha, 1.4}, {mu, 1.2}, {form, 4 * 1.96 + 4 * 1.68 + 4 * 1.44}}},
               // No last step, and one that is parallel.
               {[](Scalars& s) {
                  s.model.square_dp = s.model.square_p = s.model.fisher_dp = s.model.fisher_p = 0;
                  s.model.slope_p = s.model.theta_p = 0;
                },
                {{alpha, 2}, {mu, 0}, {form, 16}}},
               {[](Scalars& s) {
                  s.model.square_dp = 2, s.model.square_p = 4, s.model.fisher_dp = 8;
                  s.model.fisher_p = 16, s.model.slope_p = 38, s.model.theta_p = 4;
                },
                {{alpha, 2}, {mu, 0}}},
               {[](Scalars& s) {
                  s.model.square_d = s.model.square_dp = s.model.fisher_d = s.model.fisher_dp = 0;
                },
                {{alpha, 1}, {mu, 0}, {form, 0}}}});
  constexpr Number absolute = [](const Scalars& s) { return s.damping.absolute; };
  add_formula(table, "scheduled_damping",
              [](Scalars* at) -> ScalarFormula {
                return formulas::ScheduledDamping{&at->damping, &at->step, 0.5, 0.2};
              },
              {{as_it_is, {{absolute, 0.25}}},
               {[](Scalars& s) { s.step.accept = 0; }, {{absolute, 0.5}}},
               {[](Scalars& s) { s.damping.absolute = 0.25; }, {{absolute, 0.2}}}});
  add_formula(
      table, "follow_reduction_ratio",
      [](Scalars* at) -> ScalarFormula {
        return formulas::FollowReductionRatio{&at->damping, &at->step, &at->trial, 0.5, 0.125, 2};
      },
      {{as_it_is, {{absolute, 0.5}}},
       {[](Scalars& s) { s.trial.ratio = 0.75; }, {{absolute, 0.5}}},
       {[](Scalars& s) { s.trial.ratio = 0.8; }, {{absolute, 0.25}}},
       {[](Scalars& s) { s.trial.ratio = 0.2; }, {{absolute, 1}}},
       {[](Scalars& s) { s.trial.ratio = 1, s.trial.informative = 0; }, {{absolute, 0.5}}},
       // A first rate that was refused, whatever the ratio at the one that passed.
       {[](Scalars& s) { s.trial.ratio = 1, s.trial.count = 2; }, {{absolute, 1}}},
       {[](Scalars& s) { s.trial.informative = 0, s.trial.count = 3; }, {{absolute, 1}}},
       {[](Scalars& s) { s.trial.ratio = nan, s.step.accept = 0; }, {{absolute, 1}}},
       {[](Scalars& s) { s.trial.ratio = 1, s.step.accept = 0; }, {{absolute, 1}}},
       {[](Scalars& s) { s.trial.ratio = 1, s.damping.absolute = 0.2; }, {{absolute, 0.125}}},
       {[](Scalars& s) { s.trial.ratio = 0, s.damping.absolute = 1.5; }, {{absolute, 2}}}});
}

void add_step_length(OperationTable& table) {
  constexpr Number absolute = [](const Scalars& s) { return s.damping.absolute; };
  add_formula(table, "follow_step_length",
              [](Scalars* at) -> ScalarFormula {
                return formulas::FollowStepLength{&at->damping, &at->step, 0.5, 0.25, 0.5, 2, 8, 4,
                                                  0.2,          10};
              },
              {{[](Scalars& s) { s.step.rate = 0.5; }, {{absolute, 0.25}}},
               {[](Scalars& s) { s.step.rate = 0.3; }, {{absolute, 0.5}}},
               {[](Scalars& s) { s.step.rate = 0.2; }, {{absolute, 1}}},
               {[](Scalars& s) { s.step.accept = 0, s.step.outcome = 1; }, {{absolute, 4}}},
               {[](Scalars& s) { s.step.accept = 0, s.step.outcome = 3; }, {{absolute, 2}}},
               {[](Scalars& s) { s.damping.absolute = 0.3; }, {{absolute, 0.2}}},
               {[](Scalars& s) { s.step.accept = 0, s.damping.absolute = 2; }, {{absolute, 10}}}});
}

void add_geodesic(OperationTable& table) {
  constexpr Number rate = [](const Scalars& s) { return s.step.rate; };
  constexpr Number half = [](const Scalars& s) { return s.geodesic.half_square; };
  constexpr Number passed = [](const Scalars& s) { return s.trial.passed; };
  constexpr Number done = [](const Scalars& s) { return s.geodesic.done; };
  constexpr Number count = [](const Scalars& s) { return s.trial.count; };
  constexpr Number open = [](const Scalars& s) { return s.trial.open; };
  constexpr Number best = [](const Scalars& s) { return s.geodesic.best_loss; };
  constexpr Number restore = [](const Scalars& s) { return s.trial.restore; };
  constexpr Number last = [](const Scalars& s) { return s.geodesic_state.last_rate; };
  add_formula(table, "geodesic_rate",
              [](Scalars* at) -> ScalarFormula {
                return formulas::GeodesicRate{&at->geodesic_state, &at->step, 0.0625, 1.5};
              },
              {{as_it_is, {{rate, 0.375}}},
               {[](Scalars& s) { s.geodesic_state.last_rate = 0; }, {{rate, 0.09375}}},
               {[](Scalars& s) { s.geodesic_state.last_rate = 4; }, {{rate, 0.5}}}});
  add_formula(table, "begin_geodesic",
              [](Scalars* at) -> ScalarFormula {
                return formulas::BeginGeodesic{&at->geodesic_state, &at->geodesic, &at->trial,
                                               &at->step,           0.0625,        0.5};
              },
              {{as_it_is,
                {{[](const Scalars& s) { return s.trial.loss_before; }, 4},
                 {[](const Scalars& s) { return s.geodesic.probe; }, 0.125},
                 {[](const Scalars& s) { return s.geodesic.of_difference; }, -128},
                 {[](const Scalars& s) { return s.geodesic.of_slope; }, 16},
                 {half, 0.125},
                 {best, 4},
                 {count, 0}}}});
  constexpr Number probes = [](const Scalars& s) { return s.geodesic.probes; };
  add_formula(table, "open_probe",
              [](Scalars* at) -> ScalarFormula {
                return formulas::OpenProbe{&at->geodesic, &at->trial, &at->solve};
              },
              {{as_it_is, {{probes, 1}}},
               {[](Scalars& s) { s.geodesic.probe_finite = 0; }, {{probes, 0}}},
               {[](Scalars& s) { s.trial.loss_before = nan; }, {{probes, 0}}},
               {[](Scalars& s) { s.solve.outcome = 3; }, {{probes, 0}}}});
  constexpr Number straight = [](const Scalars& s) { return s.geodesic.straight; };
  add_formula(
      table, "judge_acceleration",
      [](Scalars* at) -> ScalarFormula { return formulas::JudgeAcceleration{&at->geodesic}; },
      {{as_it_is, {{straight, 0}}},
       {[](Scalars& s) { s.geodesic.probes = 0; }, {{straight, 1}}},
       {[](Scalars& s) { s.geodesic.second_square = nan; }, {{straight, 1}}},
       {[](Scalars& s) { s.geodesic.product_square = infinity; }, {{straight, 1}}}});
  add_formula(
      table, "open_geodesic_trial",
      [](Scalars* at) -> ScalarFormula {
        return formulas::OpenGeodesicTrial{&at->geodesic, &at->trial, &at->solve, &at->step};
      },
      {{as_it_is, {{open, 1}}},
       {[](Scalars& s) { s.geodesic.done = 1; }, {{open, 0}}},
       {[](Scalars& s) { s.step.finite = 0; }, {{open, 0}}},
       {[](Scalars& s) { s.solve.outcome = 2; }, {{open, 0}}}});
  for (const bool is_last : {false, true}) {
    add_formula(
        table, is_last ? "judge_last_geodesic_trial" : "judge_geodesic_trial",
        [=](Scalars* at) -> ScalarFormula {
          return formulas::JudgeGeodesicTrial{&at->geodesic, &at->trial, &at->solve,
                                              &at->step,     0.5,        is_last};
        },
        {{as_it_is,
          {{best, 3.75}, {passed, 1}, {done, 0}, {count, 2}, {rate, is_last ? 0.5 : 0.25}}},
         {[](Scalars& s) { s.trial.measured = 9; },
          {{best, 4}, {passed, 0}, {done, 0}, {restore, 1}, {half, is_last ? 11 : 0.03125}}},
         // It has fallen before.
         {[](Scalars& s) { s.trial.measured = 9, s.trial.passed = 1; },
          {{best, 4}, {passed, 1}, {done, 1}, {rate, 0.5}}},
         {[](Scalars& s) { s.trial.measured = nan; }, {{passed, 0}, {done, 0}}},
         {[](Scalars& s) { s.trial.open = 0, s.step.finite = 0; }, {{passed, 0}, {restore, 0}}},
         {[](Scalars& s) { s.geodesic.done = 1, s.trial.open = 0; }, {{count, 1}, {rate, 0.5}}},
         {[](Scalars& s) { s.solve.outcome = 3, s.trial.open = 0; }, {{count, 1}, {done, 1}}}});
  }
  add_formula(
      table, "finish_geodesic",
      [](Scalars* at) -> ScalarFormula {
        return formulas::FinishGeodesic{&at->geodesic, &at->trial, &at->step};
      },
      {{as_it_is, {{rate, 0.5}, {half, 11}}},
       {[](Scalars& s) { s.trial.passed = 1; },
        {{rate, 0.125}, {half, 0.0078125}, {[](const Scalars& s) { return s.trial.loss; }, 4}}}});
  add_formula(table, "remember_rate",
              [](Scalars* at) -> ScalarFormula {
                return formulas::RememberRate{&at->geodesic_state, &at->step};
              },
              {{[](Scalars& s) { s.step.outcome = 0; }, {{last, 0.5}}},
               {[](Scalars& s) { s.step.accept = 0; }, {{last, 0}}},
               {[](Scalars& s) { s.step.accept = 0, s.step.outcome = 3; }, {{last, 0.25}}}});
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
  // After trials.
  constexpr auto passes = [](Scalars& s) { s.trial.passed = 1; };
  add_formula(table, "judge_step_after_trials",
              [](Scalars* at) -> ScalarFormula {
                return formulas::JudgeStep{
                    &at->solve, &at->step, &at->counters, &at->record, 2, 1, 0, &at->trial, 7};
              },
              {{passes,
                {{outcome, 0},
                 {accept, 1},
                 {[](const Scalars& s) { return s.record.applies; }, 7},
                 {[](const Scalars& s) { return s.record.trials; }, 1},
                 {[](const Scalars& s) { return s.record.loss_before; }, 8},
                 {[](const Scalars& s) { return s.record.loss_after; }, 7.5},
                 {[](const Scalars& s) { return s.record.actual_kl; }, 0.125},
                 {[](const Scalars& s) { return s.record.reduction_ratio; }, 0.5},
                 {[](const Scalars& s) { return s.record.model_rate; }, 7},
                 {[](const Scalars& s) { return s.record.momentum; }, 9}}},
               {as_it_is, failed(1)},
               {[](Scalars& s) { s.trial.passed = 1, s.step.finite = 0; }, {{outcome, 0}}},
               {[](Scalars& s) { s.step.finite = 0; }, failed(2)},
               {[](Scalars& s) { s.step.finite = 0; }, {{not_finite, 5}}},
               {[](Scalars& s) { s.trial.loss_before = nan; }, failed(2)},
               {[](Scalars& s) { s.trial.loss_before = nan; }, {{not_finite, 6}}},
               {[](Scalars& s) { s.solve.outcome = 3; }, failed(3)}});
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
  add_trials(table);
  add_strategies(table);
  add_step_length(table);
  add_geodesic(table);
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
