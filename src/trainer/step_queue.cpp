#include "trainer/step_queue.hpp"

#include <algorithm>

namespace natgrad::trainer {

StepQueue::StepQueue(const Context& context)
    : context_(context),
      most_(context.device().kind == DeviceKind::cpu ? 1 : 32),
      sums_(context.array({2 * most_, 1}, ElementType::float64)) {}

View StepQueue::sums() const { return sums_.view().row_range(2 * size(), 2); }

void StepQueue::push(const Record& record, std::int64_t samples) {
  if (steps_.empty()) begun_ = Clock::now();
  steps_.push_back({record, samples});
}

std::vector<Record> StepQueue::take() {
  std::vector<Record> records;
  if (steps_.empty()) return records;
  std::vector<double> sums(2 * steps_.size());
  context_.read(sums_.view().row_range(0, 2 * size()), sums.data());
  for (std::size_t i = 0; i < steps_.size(); ++i) {
    Record record = steps_[i].record;
    const auto n = static_cast<double>(steps_[i].samples);
    record.loss = -sums[2 * i] / n;
    record.accuracy = sums[2 * i + 1] / n;
    records.push_back(record);
  }
  adapt_period();
  steps_.clear();
  return records;
}

void StepQueue::adapt_period() {
  constexpr double seconds_between = 0.25;
  const double seconds = std::chrono::duration<double>(Clock::now() - begun_).count();
  const double steps = seconds_between * static_cast<double>(size()) / std::max(seconds, 1e-9);
  period_ = std::clamp(static_cast<std::int64_t>(steps), std::int64_t{1}, most_);
}

}  // namespace natgrad::trainer
