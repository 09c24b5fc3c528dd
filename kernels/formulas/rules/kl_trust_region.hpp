#pragma once

#include "kernels/formulas/step.hpp"

#include <cmath>

namespace natgrad {

struct KlTrustRegionState {
  double radius;  // nats a sample

  static constexpr const char* names[] = {"radius"};
};

namespace formulas {

/// The rate at which the predicted divergence 1/2 rate^2 d^T F d is the radius, where that is below
/// the scheduled one. Where rounding may have made d^T F d too small, it counts as that much
/// larger. A direction of zero keeps the scheduled rate.
struct KlTrustRegionRate {
  const KlTrustRegionState* state;
  const SolveScalars* solve;
  StepScalars* step;

  NATGRAD_FORMULA void operator()() const {
    const double form = solve->quadratic_form + solve->quadratic_error;
    if (!(form > 0)) return;
    const double rate = sqrt(2 * state->radius / form);
    if (rate < step->rate) step->rate = rate;
  }
};

}  // namespace formulas
}  // namespace natgrad
