#pragma once

#include "kernels/formulas/step.hpp"

namespace natgrad::formulas {

/// The damping after a step: smaller where a long one was taken, larger where only a short one, or
/// none, made the loss fall, and where the matrix could not be factorized.
struct FollowStepLength {
  DampingState* damping;
  const StepScalars* step;
  double long_rate;
  double short_rate;
  double decrease;  // in (0, 1]
  double increase;  // >= 1, as the next two
  double after_rejection;
  double after_failure;
  double smallest;
  double largest;

  NATGRAD_FORMULA void operator()() const {
    double next = damping->absolute;
    if (step->accept != 0) {
      if (step->rate >= long_rate) {
        next *= decrease;
      } else if (step->rate < short_rate) {
        next *= increase;
      }
    } else {
      next *= step->outcome == outcome_rejected ? after_rejection : after_failure;
    }
    next = next < smallest ? smallest : next;
    damping->absolute = next > largest ? largest : next;
  }
};

}  // namespace natgrad::formulas
