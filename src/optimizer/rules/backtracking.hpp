#pragma once

#include "optimizer/rules/step_rule.hpp"

namespace natgrad::detail {

/// The first of falling rates at which the batch's loss falls by enough (Armijo 1966).
class BacktrackingStrategy final : public StepRuleStrategy {
 public:
  explicit BacktrackingStrategy(const Backtracking& options) : options_(options) {}

  Needs needs() const override {
    return {.name = "Backtracking", .loss = true, .products = options_.sufficient_decrease != 0};
  }
  Search search() const override {
    return {.trials = options_.trials,
            .shrink = options_.shrink,
            .sufficient_decrease = options_.sufficient_decrease};
  }
  void check(OptionErrors& errors) const override {
    errors.check(".step rate", options_.rate, options_.rate > 0, "finite and > 0");
    check_search(errors, search(), 1);
  }
  double rate() const override { return options_.rate; }
  void set_rate(double rate) override { options_.rate = rate; }

 private:
  Backtracking options_;
};

}  // namespace natgrad::detail
