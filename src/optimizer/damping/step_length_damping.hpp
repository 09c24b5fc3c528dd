#pragma once

#include "kernels/formulas/rules/step_length_damping.hpp"
#include "optimizer/damping/damping_strategy.hpp"

namespace natgrad::detail {

/// Follows the rates that a step rule finds.
class FollowedStepLength final : public DampingStrategy {
 public:
  using DampingStrategy::DampingStrategy;

  void check(OptionErrors& errors) const override {
    const StepLengthDamping& r = rule();
    errors.check(".damping short_rate", r.short_rate, r.short_rate >= 0, "finite and >= 0");
    errors.check(".damping long_rate", r.long_rate, r.long_rate >= 0, "finite and >= 0");
    errors.check(".damping decrease", r.decrease, r.decrease > 0 && r.decrease <= 1,
                 "> 0 and <= 1");
    errors.check(".damping increase", r.increase, r.increase >= 1, "finite and >= 1");
    errors.check(".damping after_rejection", r.after_rejection, r.after_rejection >= 1,
                 "finite and >= 1");
    errors.check(".damping after_failure", r.after_failure, r.after_failure >= 1,
                 "finite and >= 1");
    errors.check(".damping smallest", r.smallest, r.smallest > 0, "finite and > 0");
    errors.check(".damping largest", r.largest, r.largest >= r.smallest, "finite and >= smallest");
    const double absolute = damping().absolute;
    errors.check(".damping.absolute", absolute, absolute >= r.smallest && absolute <= r.largest,
                 "between the bounds of StepLengthDamping");
    errors.check(".damping.relative", damping().relative, damping().relative == 0,
                 "0 under StepLengthDamping, which changes .absolute");
  }
  void judged(Backend& backend, const JudgedStep& step) override {
    const StepLengthDamping& r = rule();
    backend.evaluate(formulas::FollowStepLength{.damping = mutable_state(),
                                                .step = address<StepScalars>(step.scalars),
                                                .long_rate = r.long_rate,
                                                .short_rate = r.short_rate,
                                                .decrease = r.decrease,
                                                .increase = r.increase,
                                                .after_rejection = r.after_rejection,
                                                .after_failure = r.after_failure,
                                                .smallest = r.smallest,
                                                .largest = r.largest});
  }

 private:
  const StepLengthDamping& rule() const { return std::get<StepLengthDamping>(damping().rule); }
};

}  // namespace natgrad::detail
