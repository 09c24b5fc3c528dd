#pragma once

#include "kernels/formulas/step.hpp"

// Which of a fixed number of trials is kept: the first whose loss, and KL divergence, are good
// enough. All of them are enqueued, and after that one no other moves.

namespace natgrad::formulas {

/// Units in the last place of the loss, in the type of the parameters, that count as no change:
/// what a sum of losses at outputs of that type is good for.
inline constexpr double loss_units = 8;

/// Share of the radius that a KL divergence may lie above it. Where the divergence is quadratic,
/// the first rate makes it the radius itself, and its rounding would decide. That of a divergence
/// from float outputs is far below a thousandth of any radius in use.
inline constexpr double kl_slack = 1e-3;

/// Before the first trial, once loss, slope and curvature were measured without the penalty of
/// `.l2`, eta/2 |theta|^2: its share.
struct BeginTrials {
  TrialScalars* trial;
  double eta;

  NATGRAD_FORMULA void operator()() const {
    TrialScalars& t = *trial;
    t.loss_before += eta / 2 * t.parameter_square;
    t.slope -= eta * t.parameter_step;
    t.curvature += eta * t.step_square;
    t.open = t.passed = t.restore = t.count = t.informative = 0;
    t.loss = t.kl = t.ratio = NAN;
  }
};

/// Whether a trial moves the parameters: none has passed, and its numbers can be used.
struct OpenTrial {
  TrialScalars* trial;
  const SolveScalars* solve;
  const StepScalars* step;

  NATGRAD_FORMULA void operator()() const {
    const bool usable =
        solve->outcome == outcome_accepted && is_finite(trial->loss_before) && step->finite != 0;
    trial->open = usable && trial->passed == 0 ? 1 : 0;
  }
};

/// The verdict of one trial, at whose parameters loss and KL were measured; a rate for the next.
/// Where no rate can be tried, because the solve failed or the loss before is not finite, none is
/// counted and the rate stays.
struct JudgeTrial {
  TrialScalars* trial;
  const SolveScalars* solve;
  StepScalars* step;
  const RateSettings* settings;
  double eta;
  double epsilon;              // of the parameters' type
  double sufficient_decrease;  // share of rate times slope that the loss must fall by
  double kl_radius;            // the largest divergence; infinite where none is measured
  double shrink;               // of the rate from trial to trial
  bool last;

  /// Of NaN nothing holds.
  NATGRAD_FORMULA bool is_good(double reduction, double rounding) const {
    const double promised = sufficient_decrease * step->rate * trial->slope;
    const double wanted = promised <= 0 || sufficient_decrease == 0 ? 0 : promised;
    const bool is_near = kl_radius == INFINITY || trial->kl <= kl_radius * (1 + kl_slack);
    return reduction + rounding >= wanted && is_near;
  }

  NATGRAD_FORMULA void operator()() const {
    TrialScalars& t = *trial;
    t.restore = 0;
    const bool can_try = solve->outcome == outcome_accepted && is_finite(t.loss_before);
    if (t.passed != 0 || !can_try) return;
    const double rate = step->rate;
    t.count += 1;
    t.loss = t.kl = NAN;
    if (t.open != 0) {
      t.kl = t.measured_kl;
      t.loss = t.measured + eta * (t.parameter_square / 2 + rate * t.parameter_step +
                                   rate * rate / 2 * t.step_square);
    }
    const double rounding =
        loss_units * epsilon * (t.loss_before < 0 ? -t.loss_before : t.loss_before);
    const double reduction = t.loss_before - t.loss;
    const double predicted = rate * t.slope - rate * rate / 2 * t.curvature;
    t.informative = predicted > rounding ? 1 : 0;
    t.ratio = t.informative != 0 || !is_finite(reduction) ? reduction / predicted : 1;
    if (t.open != 0 && is_finite(t.loss) && is_good(reduction, rounding)) {
      t.passed = 1;
      return;
    }
    t.restore = t.open;
    if (last) return;
    step->rate *= shrink;
    step->shrink = step->rate * settings->weight_decay;
    step->finite = 1;
  }
};

}  // namespace natgrad::formulas
