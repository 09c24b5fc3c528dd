#pragma once

#include "kernels/formulas/rules/scheduled_damping.hpp"
#include "optimizer/damping/damping_strategy.hpp"

namespace natgrad::detail {

/// max(floor, absolute factor^k) after k accepted steps.
class ScheduledDamping final : public DampingStrategy {
 public:
  using DampingStrategy::DampingStrategy;

  void check(OptionErrors& errors) const override {
    errors.check(".damping factor", rule().factor, rule().factor > 0 && rule().factor <= 1,
                 "> 0 and <= 1");
    errors.check(".damping floor", rule().floor,
                 rule().floor > 0 && rule().floor <= damping().absolute,
                 "> 0 and <= .damping.absolute");
    errors.check(".damping.relative", damping().relative, damping().relative == 0,
                 "0 under DampingSchedule, which changes .absolute");
  }
  void judged(Backend& backend, const JudgedStep& step) override {
    backend.evaluate(formulas::ScheduledDamping{.damping = mutable_state(),
                                                .step = address<StepScalars>(step.scalars),
                                                .factor = rule().factor,
                                                .floor = rule().floor});
  }

 private:
  const DampingSchedule& rule() const { return std::get<DampingSchedule>(damping().rule); }
};

}  // namespace natgrad::detail
