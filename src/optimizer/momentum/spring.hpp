#pragma once

#include "optimizer/momentum/momentum.hpp"

namespace natgrad::detail {

/// (F + lambda I) (d - decay d_prev) = g - decay F d_prev (Goldshlager, Abrahamsen, Lin 2024).
class SpringMomentum final : public MomentumStrategy {
 public:
  explicit SpringMomentum(double decay) : decay_(decay) {}

  const char* name() const override { return "SPRING"; }
  bool starts_solve() const override { return decay_ > 0; }
  RightHandSide right_hand_side() const override {
    if (decay_ == 0) return {};
    return {.previous = memory(), .decay = decay_};
  }

 private:
  double decay_;
};

}  // namespace natgrad::detail
