#pragma once

#include "core/option_errors.hpp"
#include "curvature/curvature.hpp"
#include "natgrad/damping.hpp"
#include "optimizer/strategy.hpp"

#include <memory>

namespace natgrad::detail {

/// What a solve is damped by, and what changes that from step to step. lambda itself follows from
/// the matrix (`formulas::Damp`); its numbers are in the state, which a checkpoint holds.
class DampingStrategy : public Strategy {
 public:
  DampingStrategy(const Damping& damping, double l2) : damping_(damping), l2_(l2) {}

  /// Sets the numbers, under a rule of the same kind.
  virtual void set(const Damping& damping) { damping_ = damping; }
  bool damped() const { return damping_.absolute > 0 || damping_.relative > 0 || l2_ > 0; }
  const DampingState* state() const { return address<DampingState>(state_); }
  const View& view() const { return state_; }

  virtual StrategyNeeds needs() const { return {}; }
  /// Notes which options of its rule are out of range.
  virtual void check(OptionErrors& errors) const { static_cast<void>(errors); }

  void layout(Carver& carver) override { state_ = take_scalars<DampingState>(carver); }
  void upload(Backend& backend) override {
    backend.fill(damping_.absolute, scalar(state_, &DampingState::absolute));
    backend.fill(damping_.relative, scalar(state_, &DampingState::relative));
    backend.fill(l2_, scalar(state_, &DampingState::l2));
  }

 protected:
  const Damping& damping() const { return damping_; }
  DampingState* mutable_state() const { return address<DampingState>(state_); }

 private:
  Damping damping_;
  double l2_;
  View state_;  // a DampingState
};

/// The damping of the options. A new one is a class in a new file, and a row here.
std::unique_ptr<DampingStrategy> make_damping(const Damping& damping, double l2);

}  // namespace natgrad::detail
