#pragma once

#include "backend/backend.hpp"
#include "core/context_state.hpp"
#include "natgrad/natural_gradient.hpp"
#include "natgrad/types.hpp"
#include "optimizer/active_parameters.hpp"
#include "optimizer/loop_scalars.hpp"
#include "optimizer/rules/step_rule.hpp"

#include <span>

namespace natgrad::detail {

/// One attempt to move the parameters. In the order of calls: `begin` counts it and gives it the
/// scheduled rate, a step rule lowers that, `limit` caps it, `judge` looks at the new parameters
/// before anything is written and decides, `move` writes where the verdict is accepted.
///
/// A rule that compares losses has several rates tried: `search` stands before `judge`, and in the
/// place of `move`.
class Trial {
 public:
  struct Verdict {
    Form form;
    bool predicts_kl;
    bool gradient_given;
    int applies;  // what the record holds beside what every step has
  };
  struct Searched {
    Search search;
    const Batch& batch;
    std::span<const UpdatedTensor> tensors;
    const ActiveParameters& active;
    View kept;          // (P), where theta is kept
    View movement;      // u (P), before the rate, with the decay; where there is a penalty
    const View& solve;  // a SolveScalars
    double eta;         // of the penalty
  };

  Trial(ContextState& context, const LoopScalars& scalars)
      : context_(context), backend_(context.backend()), scalars_(scalars) {}

  void begin();
  /// `step` (P) before its rate, measured where its length is limited.
  void limit(const ConstView& step, bool has_limit);
  /// Tries falling rates, a fixed number of them, and leaves the parameters at the first that is
  /// good enough, or as they were. Slope and curvature without a penalty stand in the scalars where
  /// the search reads them. Calls `batch.loss` and `batch.kl`; when one throws, parameters and
  /// counters are as before `begin`. Two passes over P a trial.
  void search(const Searched& searched);
  /// Reads `solve`, a SolveScalars, whose verdict is the step's unless new parameters are not
  /// finite, or no trial was good enough. P operations.
  void judge(std::span<const UpdatedTensor> tensors, const View& solve, const Verdict& verdict);
  /// P operations.
  void move(std::span<const UpdatedTensor> tensors);

 private:
  View field(double StepScalars::*name) const { return scalar(scalars_.step, name); }
  View field(double TrialScalars::*name) const { return scalar(scalars_.trial, name); }
  void measure(const BatchFunction& number, const View& result);
  void try_rate(const Searched& searched, bool last);
  void take_back_attempt(const Searched& searched);

  ContextState& context_;
  Backend& backend_;
  const LoopScalars& scalars_;
};

}  // namespace natgrad::detail
