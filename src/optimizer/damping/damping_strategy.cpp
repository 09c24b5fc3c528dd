#include "optimizer/damping/damping_strategy.hpp"

#include "optimizer/damping/levenberg_marquardt.hpp"
#include "optimizer/damping/scheduled_damping.hpp"
#include "optimizer/damping/step_length_damping.hpp"

namespace natgrad::detail {

namespace {

std::unique_ptr<DampingStrategy> make(const ConstantDamping&, const Damping& damping, double l2) {
  return std::make_unique<DampingStrategy>(damping, l2);
}
std::unique_ptr<DampingStrategy> make(const DampingSchedule&, const Damping& damping, double l2) {
  return std::make_unique<ScheduledDamping>(damping, l2);
}
std::unique_ptr<DampingStrategy> make(const LevenbergMarquardt&, const Damping& damping,
                                      double l2) {
  return std::make_unique<LevenbergMarquardtDamping>(damping, l2);
}
std::unique_ptr<DampingStrategy> make(const StepLengthDamping&, const Damping& damping, double l2) {
  return std::make_unique<FollowedStepLength>(damping, l2);
}

}  // namespace

std::unique_ptr<DampingStrategy> make_damping(const Damping& damping, double l2) {
  return std::visit([&](const auto& rule) { return make(rule, damping, l2); }, damping.rule);
}

}  // namespace natgrad::detail
