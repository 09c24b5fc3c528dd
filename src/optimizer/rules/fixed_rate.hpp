#pragma once

#include "optimizer/rules/step_rule.hpp"

namespace natgrad::detail {

/// The scheduled rate as it is.
class FixedRateStrategy final : public StepRuleStrategy {
 public:
  Needs needs() const override { return {.name = "FixedRate"}; }
};

}  // namespace natgrad::detail
