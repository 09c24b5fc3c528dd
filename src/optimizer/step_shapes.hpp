#pragma once

#include "optimizer/active_parameters.hpp"
#include "optimizer/damping/damping_strategy.hpp"
#include "optimizer/momentum/momentum.hpp"
#include "optimizer/partial_batch.hpp"
#include "optimizer/rules/step_rule.hpp"
#include "optimizer/step_memory.hpp"

#include <span>
#include <vector>

namespace natgrad::detail {

/// What the memory and the work of a call follow from: the parts of an optimizer, which must
/// outlive it, and the call's batch.
class StepShapes {
 public:
  struct Parts {
    const ActiveParameters& active;
    const StepRuleStrategy& rule;
    const DampingStrategy& damping;
    const MomentumStrategy& momentum;
    double l2;          // eta
    bool l2_by_tensor;  // see `BatchShape`
    double weight_decay;
  };
  explicit StepShapes(const Parts& parts) : parts_(parts) {}

  /// The rates that a step tries: those of the rule, or one where the damping asks for the loss.
  Search search() const;
  /// Whether the quadratic model along the step is asked for, for the search or the damping.
  bool models_step() const;

  /// What a call takes from the optimizer, whatever its batch. Without momentum: of a direction,
  /// which is handed out as it is solved for.
  StepShape of_loop(Phase phase, bool with_momentum) const;
  /// Of a call with this batch. It views uses that are valid until the next call of any function.
  StepShape of(const Batch& batch, Phase phase, bool with_momentum);
  /// Of the solve of all parts.
  StepShape of_parts(const PartialBatch& partial) const;

  /// The uses of rows whose S^T r is the gradient, without those of frozen parameters.
  std::span<const LayerUse> gradient_uses(const ScoreSet& rows) {
    return parts_.active.uses(rows, gradient_uses_);
  }

 private:
  Parts parts_;
  // Uses without frozen parameters, of the last call.
  std::vector<LayerUse> fisher_uses_;
  std::vector<LayerUse> gradient_uses_;
};

}  // namespace natgrad::detail
