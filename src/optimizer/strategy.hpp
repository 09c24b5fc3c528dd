#pragma once

#include "backend/backend.hpp"
#include "core/arena.hpp"
#include "kernels/formulas/step.hpp"

namespace natgrad::detail {

/// What adapts from step to step: a step rule, a damping, a momentum. The verdict of a step is
/// known on the device alone, so that its three events (accepted, rejected, invalid, where NaN is
/// invalid) are told apart there: a strategy enqueues one formula of kernels/formulas/rules/ on
/// its state, which reads the outcome in the step's scalars, or selects by `accept`.
class Strategy {
 public:
  virtual ~Strategy() = default;
  /// Takes its state from the memory of the loop; run without memory to count.
  virtual void layout(Carver&) {}
  /// Enqueues what the settings say, to the state.
  virtual void upload(Backend&) {}
  /// Enqueued once the verdict of a step stands in `step`, a StepScalars. `direction` (P) is the
  /// one the step was made from, of the parameters' type.
  virtual void judged(Backend&, const View& step, const View& direction) {
    static_cast<void>(step);
    static_cast<void>(direction);
  }
};

}  // namespace natgrad::detail
