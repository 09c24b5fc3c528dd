#pragma once

#include "kernels/formulas/step.hpp"

namespace natgrad::formulas {

/// An accepted step multiplies the damping, down to a floor.
struct ScheduledDamping {
  DampingState* damping;
  const StepScalars* step;
  double factor;
  double floor;

  NATGRAD_FORMULA void operator()() const {
    if (step->accept == 0) return;
    const double next = damping->absolute * factor;
    damping->absolute = next > floor ? next : floor;
  }
};

}  // namespace natgrad::formulas
