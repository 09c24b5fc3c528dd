#pragma once

#include "curvature/curvature.hpp"
#include "natgrad/natural_gradient.hpp"
#include "optimizer/strategy.hpp"

#include <cstdint>
#include <memory>

namespace natgrad::detail {

/// What steps remember of the directions before. The memory of P numbers is the caller's: there is
/// none before the first step.
class MomentumStrategy : public Strategy {
 public:
  /// "SPRING", as messages and checkpoints name it; null where nothing is remembered.
  virtual const char* name() const = 0;
  bool remembers() const { return name() != nullptr; }
  /// Whether a solve starts from the direction before.
  virtual bool starts_solve() const { return false; }
  /// Whether the direction is changed after the solve, so that d^T F d is another's.
  virtual bool changes_direction() const { return false; }

  void use(const View& memory) { memory_ = memory; }

  /// What a solve starts from: decay d_prev for SPRING; nothing by default.
  virtual RightHandSide right_hand_side() const { return {}; }
  /// Turns d into the vector v that is the step, in place.
  virtual void combine(Backend&, const View& direction) { static_cast<void>(direction); }

  /// Accepted: the direction of this step is remembered. Rejected, invalid: nothing changes.
  void judged(Backend& backend, const JudgedStep& step) override {
    if (memory_.empty()) return;
    backend.commit(scalar(step.scalars, &StepScalars::accept), step.direction, memory_);
  }

 protected:
  const View& memory() const { return memory_; }

 private:
  View memory_;  // (P) of the parameters' type
};

/// The momentum of the options. A new one is a class in a new file, and a row here.
std::unique_ptr<MomentumStrategy> make_momentum(const Momentum& momentum);

}  // namespace natgrad::detail
