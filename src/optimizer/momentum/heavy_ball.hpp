#pragma once

#include "optimizer/momentum/momentum.hpp"

namespace natgrad::detail {

/// v = decay v_prev + d (Polyak 1964).
class HeavyBallMomentum final : public MomentumStrategy {
 public:
  explicit HeavyBallMomentum(double decay) : decay_(decay) {}

  const char* name() const override { return "heavy-ball"; }
  bool changes_direction() const override { return decay_ > 0; }
  void combine(Backend& backend, const View& direction) override {
    if (decay_ > 0) backend.axpby(decay_, memory(), 1.0, direction);
  }

 private:
  double decay_;
};

}  // namespace natgrad::detail
