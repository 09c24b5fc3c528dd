#pragma once

#include "kernels/formulas/step.hpp"

namespace natgrad::formulas {

/// The damping after a step: smaller where the loss fell as the quadratic model said, larger where
/// it did not, where the first of several rates was refused, and where the step was rejected or
/// invalid. A model that says nothing changes nothing.
struct FollowReductionRatio {
  DampingState* damping;
  const StepScalars* step;
  const TrialScalars* trial;
  double factor;  // in (0, 1)
  double smallest;
  double largest;

  NATGRAD_FORMULA void operator()() const {
    constexpr double good = 0.75;
    constexpr double bad = 0.25;
    double next = damping->absolute;
    // The ratio tends to 1 as the rate falls, whatever the model: at a rate that had to fall it
    // says nothing of the step that the model proposed, and that one was refused.
    const bool refused = trial->count > 1;
    if (step->accept == 0 || refused) {
      next /= factor;
    } else if (trial->informative != 0) {
      if (trial->ratio > good) next *= factor;
      if (trial->ratio < bad) next /= factor;
    }
    next = next < smallest ? smallest : next;
    damping->absolute = next > largest ? largest : next;
  }
};

}  // namespace natgrad::formulas
