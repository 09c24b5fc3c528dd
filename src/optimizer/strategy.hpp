#pragma once

#include "backend/backend.hpp"
#include "core/arena.hpp"
#include "kernels/formulas/step.hpp"

namespace natgrad::detail {

/// What a strategy cannot work without; the checks of options and batches refuse from this alone.
struct StrategyNeeds {
  const char* name = "";     // of the strategy, in messages
  bool fisher = false;       // rows of the Fisher matrix: sampled or exact ones
  bool full_matrix = false;  // d^T F d of all of it
  bool loss = false;         // `Batch::loss`
  bool kl = false;           // `Batch::kl`
  bool products = false;     // the quadratic model along the step (`LocalModel`)
  bool residuals = false;    // `Batch::residuals`, and rows that are their derivatives

  /// Whether the batch must come in one call: its rows, or its loss, are needed once it is whole.
  bool whole_batch() const { return loss || kl || products || residuals; }
};

/// An attempt whose verdict stands.
struct JudgedStep {
  const View& scalars;    // a StepScalars
  const View& trial;      // a TrialScalars, of a rule or damping that compares losses
  const View& direction;  // d (P) of the solve with momentum, of the parameters' type
  const View& step;       // v (P): d with the rate factors. May be the same memory
};

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
  /// Enqueued once the verdict of a step stands.
  virtual void judged(Backend&, const JudgedStep& step) { static_cast<void>(step); }
};

}  // namespace natgrad::detail
