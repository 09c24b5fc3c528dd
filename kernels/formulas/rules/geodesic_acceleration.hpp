#pragma once

#include "kernels/formulas/step.hpp"

#include <cmath>

// Numbers of a step along theta + a d + a^2/2 c of least squares: R(theta) = sqrt(w_n) r_n, loss
// |R|^2 / 2.

namespace natgrad {

struct GeodesicState {
  double last_rate;  // a of the last step; 0 at the start and after one that was rejected

  static constexpr const char* names[] = {"last_rate"};
};

/// Of one attempt.
struct GeodesicScalars {
  double probe;           // h: R(theta + h d) is measured
  double of_difference;   // -2 / h^2
  double of_slope;        // 2 / h
  double probe_finite;    // 1 or 0: theta + h d
  double probes;          // 1: the parameters are moved there
  double second_square;   // |k|^2
  double product_square;  // |c|^2
  double straight;        // 1: c is not finite, and taken as 0
  double half_square;     // a^2 / 2 of the trial at hand
  double best_loss;
  double best_rate;
  double done;  // 1: the loss has stopped falling, and no other trial moves
};

namespace formulas {

/// The first rate that is tried: what the last step took, times `growth`, and at most the scheduled
/// one.
struct GeodesicRate {
  const GeodesicState* state;
  StepScalars* step;
  double first_rate;
  double growth;

  NATGRAD_FORMULA static double last_of(const GeodesicState& state, double first_rate) {
    return state.last_rate > 0 ? state.last_rate : first_rate;
  }
  NATGRAD_FORMULA void operator()() const {
    const double rate = growth * last_of(*state, first_rate);
    if (rate < step->rate) step->rate = rate;
  }
};

/// Before anything moves. `loss_before` holds |R|^2.
struct BeginGeodesic {
  const GeodesicState* state;
  GeodesicScalars* geodesic;
  TrialScalars* trial;
  const StepScalars* step;
  double first_rate;
  double probe;  // share of the last rate

  NATGRAD_FORMULA void operator()() const {
    TrialScalars& t = *trial;
    t.loss_before /= 2;
    t.open = t.passed = t.restore = t.count = t.informative = 0;
    t.loss = t.kl = t.ratio = NAN;
    GeodesicScalars& g = *geodesic;
    g.probe = probe * GeodesicRate::last_of(*state, first_rate);
    g.of_difference = -2 / (g.probe * g.probe);
    g.of_slope = 2 / g.probe;
    g.probe_finite = 1;
    g.half_square = step->rate * step->rate / 2;
    g.best_loss = t.loss_before;
    g.best_rate = step->rate;
    g.done = 0;
  }
};

/// Whether R(theta + h d) is worth measuring.
struct OpenProbe {
  GeodesicScalars* geodesic;
  const TrialScalars* trial;
  const SolveScalars* solve;

  NATGRAD_FORMULA void operator()() const {
    const bool usable = solve->outcome == outcome_accepted && is_finite(trial->loss_before);
    geodesic->probes = usable && geodesic->probe_finite != 0 ? 1 : 0;
  }
};

/// Once k and c were measured: without numbers the step is straight.
struct JudgeAcceleration {
  GeodesicScalars* geodesic;

  NATGRAD_FORMULA void operator()() const {
    const GeodesicScalars& g = *geodesic;
    const bool bends = g.probes != 0 && is_finite(g.second_square) && is_finite(g.product_square);
    geodesic->straight = bends ? 0 : 1;
  }
};

/// Whether a trial moves the parameters.
struct OpenGeodesicTrial {
  const GeodesicScalars* geodesic;
  TrialScalars* trial;
  const SolveScalars* solve;
  const StepScalars* step;

  NATGRAD_FORMULA void operator()() const {
    const bool usable =
        solve->outcome == outcome_accepted && is_finite(trial->loss_before) && step->finite != 0;
    trial->open = usable && geodesic->done == 0 ? 1 : 0;
  }
};

/// The verdict of one trial, of which `measured` holds |R|^2: the best so far is kept in mind, and
/// where the loss has fallen below that before the step and then grows, the search is done.
struct JudgeGeodesicTrial {
  GeodesicScalars* geodesic;
  TrialScalars* trial;
  const SolveScalars* solve;
  StepScalars* step;
  double shrink;  // of the rate from trial to trial
  bool last;

  NATGRAD_FORMULA void operator()() const {
    GeodesicScalars& g = *geodesic;
    TrialScalars& t = *trial;
    t.restore = 0;
    const bool can_try = solve->outcome == outcome_accepted && is_finite(t.loss_before);
    if (g.done != 0 || !can_try) {
      g.done = 1;
      return;
    }
    t.count += 1;
    t.restore = t.open;
    const double loss = t.open != 0 ? t.measured / 2 : NAN;
    if (is_finite(loss) && loss < g.best_loss) {
      g.best_loss = loss;
      g.best_rate = step->rate;
      t.passed = 1;
    } else if (t.passed != 0) {
      g.done = 1;
    }
    if (t.passed == 0) t.loss = loss;
    if (last || g.done != 0) return;
    step->rate *= shrink;
    step->finite = 1;
    g.half_square = step->rate * step->rate / 2;
  }
};

/// The best of the trials as the step.
struct FinishGeodesic {
  GeodesicScalars* geodesic;
  TrialScalars* trial;
  StepScalars* step;

  NATGRAD_FORMULA void operator()() const {
    GeodesicScalars& g = *geodesic;
    if (trial->passed == 0) return;
    step->rate = g.best_rate;
    step->finite = 1;
    g.half_square = g.best_rate * g.best_rate / 2;
    trial->loss = g.best_loss;
  }
};

/// Accepted: the rate is remembered. Rejected: forgotten. A step that was not tried changes
/// nothing.
struct RememberRate {
  GeodesicState* state;
  const StepScalars* step;

  NATGRAD_FORMULA void operator()() const {
    if (step->accept != 0) state->last_rate = step->rate;
    if (step->outcome == outcome_rejected) state->last_rate = 0;
  }
};

}  // namespace formulas
}  // namespace natgrad
