#include "optimizer/rules/step_rule.hpp"

#include "optimizer/rules/fixed_rate.hpp"
#include "optimizer/rules/kl_trust_region.hpp"

namespace natgrad::detail {

namespace {

std::unique_ptr<StepRuleStrategy> make(const FixedRate& options) {
  return std::make_unique<FixedRateStrategy>(options);
}
std::unique_ptr<StepRuleStrategy> make(const KlTrustRegion& options) {
  return std::make_unique<KlTrustRegionStrategy>(options);
}

}  // namespace

std::unique_ptr<StepRuleStrategy> make_step_rule(const StepRule& rule) {
  return std::visit([](const auto& options) { return make(options); }, rule);
}

}  // namespace natgrad::detail
