#pragma once

#include "curvature/curvature.hpp"
#include "kernels/formulas/step.hpp"

namespace natgrad::detail {

/// The numbers of the update loop that live on the device from step to step. Step rule
/// and damping take their states beside these (`Strategy::layout`).
struct LoopScalars {
  View settings;   // a RateSettings
  View counters;   // Counters
  View step;       // a StepScalars
  View trial;      // a TrialScalars, of the last attempt
  View record;     // a StepRecord, of the last attempt
  View direction;  // a SolveScalars, of the last `direction`

  LoopScalars() = default;
  explicit LoopScalars(Carver& carver)
      : settings(take_scalars<RateSettings>(carver)),
        counters(take_scalars<Counters>(carver)),
        step(take_scalars<StepScalars>(carver)),
        trial(take_scalars<TrialScalars>(carver)),
        record(take_scalars<StepRecord>(carver)),
        direction(take_scalars<SolveScalars>(carver)) {}
};

}  // namespace natgrad::detail
