#pragma once

#include "optimizer/rules/step_rule.hpp"

namespace natgrad::detail {

/// The scheduled rate as it is.
class FixedRateStrategy final : public StepRuleStrategy {
 public:
  explicit FixedRateStrategy(const FixedRate& options) : rate_(options.rate) {}

  Needs needs() const override { return {.name = "FixedRate"}; }
  void check(OptionErrors& errors) const override {
    errors.check(".step rate", rate_, rate_ > 0, "finite and > 0");
  }
  double rate() const override { return rate_; }
  void set_rate(double rate) override { rate_ = rate; }

 private:
  double rate_;
};

}  // namespace natgrad::detail
