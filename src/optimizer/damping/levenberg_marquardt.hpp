#pragma once

#include "kernels/formulas/rules/levenberg_marquardt.hpp"
#include "optimizer/damping/damping_strategy.hpp"

namespace natgrad::detail {

/// Follows the ratio of the loss's reduction to that of the quadratic model (Martens 2010, section
/// 4.1).
class LevenbergMarquardtDamping final : public DampingStrategy {
 public:
  using DampingStrategy::DampingStrategy;

  StrategyNeeds needs() const override {
    return {.name = "LevenbergMarquardt",
            .fisher = !rule().allow_empirical,
            .loss = true,
            .products = true};
  }
  void check(OptionErrors& errors) const override {
    const LevenbergMarquardt& r = rule();
    errors.check(".damping factor", r.factor, r.factor > 0 && r.factor < 1, "> 0 and < 1");
    errors.check(".damping smallest", r.smallest, r.smallest > 0, "finite and > 0");
    errors.check(".damping largest", r.largest, r.largest >= r.smallest, "finite and >= smallest");
    const double absolute = damping().absolute;
    errors.check(".damping.absolute", absolute, absolute >= r.smallest && absolute <= r.largest,
                 "between the bounds of LevenbergMarquardt");
    errors.check(".damping.relative", damping().relative, damping().relative == 0,
                 "0 under LevenbergMarquardt, which changes .absolute");
  }
  void judged(Backend& backend, const JudgedStep& step) override {
    backend.evaluate(formulas::FollowReductionRatio{.damping = mutable_state(),
                                                    .step = address<StepScalars>(step.scalars),
                                                    .trial = address<TrialScalars>(step.trial),
                                                    .factor = rule().factor,
                                                    .smallest = rule().smallest,
                                                    .largest = rule().largest});
  }

 private:
  const LevenbergMarquardt& rule() const { return std::get<LevenbergMarquardt>(damping().rule); }
};

}  // namespace natgrad::detail
