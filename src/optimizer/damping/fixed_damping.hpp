#pragma once

#include "curvature/curvature.hpp"
#include "natgrad/damping.hpp"
#include "optimizer/strategy.hpp"

namespace natgrad::detail {

/// The damping of the options, which setters alone change. lambda itself follows from the matrix
/// (`formulas::Damp`).
class FixedDamping final : public Strategy {
 public:
  FixedDamping(const Damping& damping, double l2) : damping_(damping), l2_(l2) {}

  void set(const Damping& damping) { damping_ = damping; }
  bool damped() const { return damping_.absolute > 0 || damping_.relative > 0 || l2_ > 0; }
  const DampingState* state() const { return address<DampingState>(state_); }
  const View& view() const { return state_; }

  void layout(Carver& carver) override { state_ = take_scalars<DampingState>(carver); }
  void upload(Backend& backend) override {
    backend.fill(damping_.absolute, scalar(state_, &DampingState::absolute));
    backend.fill(damping_.relative, scalar(state_, &DampingState::relative));
    backend.fill(l2_, scalar(state_, &DampingState::l2));
  }

 private:
  Damping damping_;
  double l2_;
  View state_;  // a DampingState
};

}  // namespace natgrad::detail
