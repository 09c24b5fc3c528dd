#pragma once

#include "curvature/curvature.hpp"
#include "kernels/formulas/rules/geodesic_acceleration.hpp"
#include "optimizer/rules/step_rule.hpp"

namespace natgrad::detail {

/// The best of falling rates along the direction and its second-order correction (Transtrum, Sethna
/// 2012). `CurvedSearch` tries them.
class GeodesicStrategy final : public StepRuleStrategy {
 public:
  explicit GeodesicStrategy(const GeodesicAcceleration& options) : options_(options) {}

  void layout(Carver& carver) override {
    state_ = take_scalars<GeodesicState>(carver);
    scalars_ = take_scalars<GeodesicScalars>(carver);
  }
  Needs needs() const override { return {.name = "GeodesicAcceleration", .residuals = true}; }
  void check(OptionErrors& errors) const override {
    const GeodesicAcceleration& o = options_;
    errors.check(".step max_rate", o.max_rate, o.max_rate > 0, "finite and > 0");
    errors.check(".step first_rate", o.first_rate, o.first_rate > 0, "finite and > 0");
    errors.check(".step growth", o.growth, o.growth >= 1, "finite and >= 1");
    errors.check(".step shrink", o.shrink, o.shrink > 0 && o.shrink < 1, "> 0 and < 1");
    errors.check(".step trials", o.trials, o.trials >= 1 && o.trials <= 64, "1 to 64");
    errors.check(".step probe", o.probe, o.probe > 0, "finite and > 0");
  }
  double rate() const override { return options_.max_rate; }
  void set_rate(double rate) override { options_.max_rate = rate; }

  bool bends() const override { return true; }
  Bend bend() const override { return {.options = options_, .state = state_, .scalars = scalars_}; }

  void choose_rate(Backend& backend, const View&, const View& step) override {
    backend.evaluate(formulas::GeodesicRate{.state = address<GeodesicState>(state_),
                                            .step = address<StepScalars>(step),
                                            .first_rate = options_.first_rate,
                                            .growth = options_.growth});
  }
  void judged(Backend& backend, const JudgedStep& step) override {
    backend.evaluate(formulas::RememberRate{.state = address<GeodesicState>(state_),
                                            .step = address<StepScalars>(step.scalars)});
  }
  void save(SavedState& saved) const override {
    static constexpr std::array fields = {
        RecordField<GeodesicState>{"last_rate", &GeodesicState::last_rate, 0, is_last_rate}};
    static_assert(names_every_field(fields));
    saved.records.push_back(saved_records("rule.", fields, state_));
  }

 private:
  static bool is_last_rate(double rate) { return std::isfinite(rate) && rate >= 0; }

  GeodesicAcceleration options_;
  View state_;    // a GeodesicState
  View scalars_;  // a GeodesicScalars
};

}  // namespace natgrad::detail
