#include "optimizer/rules/step_rule.hpp"

#include "optimizer/rules/backtracking.hpp"
#include "optimizer/rules/fixed_rate.hpp"
#include "optimizer/rules/geodesic_acceleration.hpp"
#include "optimizer/rules/kl_trust_region.hpp"
#include "optimizer/rules/quadratic_model.hpp"

namespace natgrad::detail {

namespace {

std::unique_ptr<StepRuleStrategy> make(const FixedRate& options) {
  return std::make_unique<FixedRateStrategy>(options);
}
std::unique_ptr<StepRuleStrategy> make(const KlTrustRegion& options) {
  return std::make_unique<KlTrustRegionStrategy>(options);
}
std::unique_ptr<StepRuleStrategy> make(const Backtracking& options) {
  return std::make_unique<BacktrackingStrategy>(options);
}
std::unique_ptr<StepRuleStrategy> make(const QuadraticModel& options) {
  return std::make_unique<QuadraticModelStrategy>(options);
}
std::unique_ptr<StepRuleStrategy> make(const GeodesicAcceleration& options) {
  return std::make_unique<GeodesicStrategy>(options);
}

}  // namespace

std::unique_ptr<StepRuleStrategy> make_step_rule(const StepRule& rule) {
  return std::visit([](const auto& options) { return make(options); }, rule);
}

}  // namespace natgrad::detail
