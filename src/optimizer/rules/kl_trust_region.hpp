#pragma once

#include "curvature/curvature.hpp"
#include "kernels/formulas/rules/kl_trust_region.hpp"
#include "optimizer/rules/step_rule.hpp"

namespace natgrad::detail {

/// The rate at which the predicted KL divergence is the radius, at most the scheduled one; with
/// trials the first below it at which loss and actual divergence are what they should be.
class KlTrustRegionStrategy final : public StepRuleStrategy {
 public:
  explicit KlTrustRegionStrategy(const KlTrustRegion& options) : options_(options) {}

  void layout(Carver& carver) override { state_ = take_scalars<KlTrustRegionState>(carver); }
  void upload(Backend& backend) override {
    backend.fill(options_.radius, scalar(state_, &KlTrustRegionState::radius));
  }
  Needs needs() const override {
    return {.name = "KlTrustRegion",
            .fisher = !options_.allow_empirical,
            .full_matrix = true,
            .loss = options_.trials > 0,
            .kl = options_.trials > 0};
  }
  Search search() const override {
    return {.trials = options_.trials, .shrink = options_.shrink, .kl_radius = options_.radius};
  }
  void check(OptionErrors& errors) const override {
    errors.check(".step radius", options_.radius, options_.radius > 0, "finite and > 0");
    errors.check(".step max_rate", options_.max_rate, options_.max_rate > 0, "finite and > 0");
    check_search(errors, search(), 0);
  }
  double rate() const override { return options_.max_rate; }
  void set_rate(double rate) override { options_.max_rate = rate; }
  void choose_rate(Backend& backend, const View& solve, const View& step) override {
    backend.evaluate(formulas::KlTrustRegionRate{.state = address<KlTrustRegionState>(state_),
                                                 .solve = address<SolveScalars>(solve),
                                                 .step = address<StepScalars>(step)});
  }

 private:
  KlTrustRegion options_;
  View state_;  // a KlTrustRegionState
};

}  // namespace natgrad::detail
