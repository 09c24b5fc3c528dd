#include "trainer/step_queue.hpp"

#include <algorithm>
#include <utility>

namespace natgrad::trainer {

StepQueue::StepQueue(const Context& context, std::int64_t numbers)
    : context_(context),
      numbers_a_step_(numbers),
      most_(context.device().kind == DeviceKind::cpu ? 1 : 32),
      numbers_(context.array({numbers * most_, 1}, ElementType::float64)) {}

View StepQueue::numbers() const {
  return numbers_.view().row_range(numbers_a_step_ * size(), numbers_a_step_);
}

void StepQueue::push(std::int64_t step, const BatchPosition& batch) {
  if (steps_.empty()) begun_ = Clock::now();
  steps_.push_back({.step = step, .batch = batch});
}

std::vector<StepQueue::Step> StepQueue::take() {
  if (steps_.empty()) return {};
  std::vector<double> numbers(static_cast<std::size_t>(numbers_a_step_ * size()));
  context_.read(numbers_.view().row_range(0, numbers_a_step_ * size()), numbers.data());
  auto first = numbers.begin();
  for (Step& step : steps_) {
    const auto end = first + numbers_a_step_;
    step.numbers.assign(first, end);
    first = end;
  }
  adapt_period();
  return std::exchange(steps_, {});
}

void StepQueue::adapt_period() {
  constexpr double seconds_between = 0.25;
  const double seconds = std::chrono::duration<double>(Clock::now() - begun_).count();
  const double steps = seconds_between * static_cast<double>(size()) / std::max(seconds, 1e-9);
  period_ = std::clamp(static_cast<std::int64_t>(steps), std::int64_t{1}, most_);
}

}  // namespace natgrad::trainer
