#pragma once

#include "backend/backend.hpp"
#include "natgrad/types.hpp"
#include "optimizer/loop_scalars.hpp"

#include <span>

namespace natgrad::detail {

/// One attempt to move the parameters. In the order of calls: `begin` counts it and gives it the
/// scheduled rate, a step rule lowers that, `limit` caps it, `judge` looks at the new parameters
/// before anything is written and decides, `move` writes where the verdict is accepted.
///
/// A rule that compares losses asks for them between `limit` and `judge`.
class Trial {
 public:
  Trial(Backend& backend, const LoopScalars& scalars) : backend_(backend), scalars_(scalars) {}

  void begin();
  /// `step` (P) before its rate, measured where its length is limited.
  void limit(const ConstView& step, bool has_limit);
  /// Reads `solve`, a SolveScalars, whose verdict is the step's unless new parameters are not
  /// finite. P operations.
  void judge(std::span<const UpdatedTensor> tensors, const View& solve, Form form, bool predicts_kl,
             bool gradient_given);
  /// P operations.
  void move(std::span<const UpdatedTensor> tensors);

 private:
  View field(double StepScalars::*name) const { return scalar(scalars_.step, name); }

  Backend& backend_;
  const LoopScalars& scalars_;
};

}  // namespace natgrad::detail
