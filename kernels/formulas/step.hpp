#pragma once

#include "kernels/formulas/solve.hpp"

#include <cmath>

// Numbers of the update loop: how far along the direction, whether the step is taken, and what is
// counted.

namespace natgrad {

/// Attempts and what became of them; exact up to 2^53.
struct Counters {
  double attempts;
  double accepted;
  double failures;  // in a row, up to now

  static constexpr const char* names[] = {"attempts", "accepted", "failures"};
};

/// Settings of the rate, which setters change between steps.
struct RateSettings {
  double rate;          // before any decay: of a fixed rate, or the largest
  double decay;         // a RateDecay
  double decay_steps;   // accepted steps until the rate is 0
  double max_norm;      // of the step, infinite without a limit
  double weight_decay;  // theta shrinks by rate times this

  static constexpr const char* names[] = {"rate", "decay", "decay_steps", "max_norm",
                                          "weight_decay"};
};

/// One attempt.
struct StepScalars {
  double rate;         // as used
  double shrink;       // rate * weight decay
  double step_square;  // |v|^2 of the step before the rate, where it is limited
  double finite;       // 1 or 0: the new parameters
  double outcome;      // an Outcome
  double accept;       // 1 or 0
};

/// What a rule that compares losses knows of one attempt. u is the step before its rate, weight
/// decay included: theta becomes theta + rate u.
struct TrialScalars {
  double loss_before;  // of the batch at theta, with the penalty of `.l2`
  double measured;     // what the caller's function wrote of the trial at hand, and its divergence
  double measured_kl;
  double loss;              // at the parameters that were tried last
  double kl;                // from theta to these
  double slope;             // (g - eta theta)^T u
  double curvature;         // u^T (F + eta I) u
  double parameter_square;  // |theta|^2 in units of the penalty, as the next two where there is one
  double parameter_step;    // theta^T u
  double step_square;       // |u|^2
  double open;              // 1: the trial moves the parameters
  double passed;            // 1: a trial was good enough, and no other moves
  double restore;           // 1: the trial is taken back
  double count;             // trials up to the one that passed
  double informative;       // 1: the model predicts a change above the rounding of the loss
  double ratio;             // of the reduction to that of the model, 1 where it says nothing
  double model_rate;        // alpha of a step alpha d + mu s_prev
  double momentum;          // mu
};

/// What is published of an attempt. The number of the step comes first and is written last.
struct StepRecord {
  double step;
  double outcome;
  double form;
  double predicts_kl;  // 1: d^T F d is of the Fisher matrix, and 1/2 rate^2 d^T F d a divergence
  double rate;
  double damping;
  double quadratic_form;
  double residual;
  double error_bound;
  double failures;
  double not_finite;  // a NotFinite
  double applies;     // which of the following do: a sum of `applies_...`
  double trials;
  double loss_before;
  double loss_after;
  double actual_kl;
  double reduction_ratio;
  double model_rate;
  double momentum;

  static constexpr const char* names[] = {
      "step",       "outcome",         "form",       "predicts_kl", "rate",
      "damping",    "quadratic_form",  "residual",   "error_bound", "failures",
      "not_finite", "applies",         "trials",     "loss_before", "loss_after",
      "actual_kl",  "reduction_ratio", "model_rate", "momentum"};
};

namespace formulas {

// Numeric values of RateDecay, which device code cannot name; optimizer/settings.cpp ties them.
inline constexpr double decay_linear = 1;
inline constexpr double decay_cosine = 2;

// Numeric values of NotFinite; scalar_formulas.hpp ties them.
inline constexpr double not_finite_nothing = 0;
inline constexpr double not_finite_rows = 1;
inline constexpr double not_finite_coefficients = 2;
inline constexpr double not_finite_gradient = 3;
inline constexpr double not_finite_solution = 4;
inline constexpr double not_finite_parameters = 5;
inline constexpr double not_finite_loss = 6;

// What a record holds beside what every step has.
inline constexpr int applies_loss = 1;
inline constexpr int applies_kl = 2;
inline constexpr int applies_ratio = 4;
inline constexpr int applies_model = 8;

/// What is left of the rate after the accepted steps.
NATGRAD_FORMULA double scheduled(const RateSettings& settings, const Counters& counters) {
  if (settings.decay == 0) return 1;
  const double done =
      counters.accepted < settings.decay_steps ? counters.accepted / settings.decay_steps : 1;
  constexpr double pi = 3.14159265358979323846;
  return settings.decay == decay_linear ? 1 - done : (1 + cos(pi * done)) / 2;
}

/// Counts the attempt and gives it the scheduled rate, for the step rule to lower.
struct BeginStep {
  const RateSettings* settings;
  Counters* counters;
  StepScalars* step;

  NATGRAD_FORMULA void operator()() const {
    counters->attempts += 1;
    step->rate = settings->rate * scheduled(*settings, *counters);
  }
};

/// After the rule: no step is longer than allowed; the weight decay follows the rate.
struct LimitStep {
  const RateSettings* settings;
  StepScalars* step;

  NATGRAD_FORMULA void operator()() const {
    if (step->step_square > 0) {
      const double rate = settings->max_norm / sqrt(step->step_square);
      if (rate < step->rate) step->rate = rate;
    }
    step->shrink = step->rate * settings->weight_decay;
    step->finite = 1;
  }
};

/// The verdict of an attempt, once the new parameters were looked at, and its record. Where a loss
/// was compared the trials have decided, and the parameters are moved already.
struct JudgeStep {
  const SolveScalars* solve = nullptr;
  StepScalars* step = nullptr;
  Counters* counters = nullptr;
  StepRecord* record = nullptr;
  double form = 0;
  double predicts_kl = 0;
  double gradient_given = 0;
  const TrialScalars* trial = nullptr;  // where `applies` is not 0
  int applies = 0;

  NATGRAD_FORMULA bool compares() const { return (applies & applies_loss) != 0; }

  /// The first operand that is not finite, in the order in which a solve reads them.
  NATGRAD_FORMULA double not_finite() const {
    if (step->outcome != outcome_not_finite) return not_finite_nothing;
    if (solve->outcome == outcome_accepted) {
      return compares() && !is_finite(trial->loss_before) ? not_finite_loss : not_finite_parameters;
    }
    if (solve->matrix_finite == 0) return not_finite_rows;
    if (is_finite(solve->rhs_square)) return not_finite_solution;
    return gradient_given != 0 ? not_finite_gradient : not_finite_coefficients;
  }

  NATGRAD_FORMULA double outcome() const {
    if (solve->outcome != outcome_accepted) return solve->outcome;
    if (!compares()) return step->finite == 0 ? outcome_not_finite : outcome_accepted;
    if (trial->passed != 0) return outcome_accepted;
    return is_finite(trial->loss_before) && step->finite != 0 ? outcome_rejected
                                                              : outcome_not_finite;
  }

  NATGRAD_FORMULA void operator()() const {
    step->outcome = outcome();
    step->accept = step->outcome == outcome_accepted ? 1 : 0;
    counters->accepted += step->accept;
    counters->failures = step->accept != 0 ? 0 : counters->failures + 1;
    *record = {counters->attempts,
               step->outcome,
               form,
               predicts_kl,
               step->rate,
               solve->damping,
               solve->quadratic_form,
               solve->residual,
               solve->error_bound,
               counters->failures,
               not_finite(),
               static_cast<double>(applies),
               0,
               0,
               0,
               0,
               0,
               0,
               0};
    if (applies == 0) return;
    record->trials = compares() ? trial->count : 0;
    record->loss_before = trial->loss_before;
    record->loss_after = trial->loss;
    record->actual_kl = trial->kl;
    record->reduction_ratio = trial->ratio;
    record->model_rate = trial->model_rate;
    record->momentum = trial->momentum;
  }
};

/// The verdict of a direction that is handed out instead of taken.
struct JudgeDirection {
  SolveScalars* solve;
  StepScalars* step;

  NATGRAD_FORMULA void operator()() const {
    if (solve->outcome == outcome_accepted && step->finite == 0) {
      solve->outcome = outcome_not_finite;
    }
    step->accept = solve->outcome == outcome_accepted ? 1 : 0;
  }
};

}  // namespace formulas
}  // namespace natgrad
