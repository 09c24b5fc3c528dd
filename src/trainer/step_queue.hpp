#pragma once

#include "natgrad/array.hpp"
#include "natgrad/context.hpp"
#include "trainer/metrics.hpp"

#include <chrono>
#include <cstdint>
#include <vector>

namespace natgrad::trainer {

/// Steps that were enqueued and whose figures lie on the device, oldest first. A step waits for
/// nothing: figures are fetched together, of as many steps as take a quarter of a second or so. On
/// the CPU, where a step has run when it returns, of each.
class StepQueue {
 public:
  explicit StepQueue(const Context& context);

  /// Where `FullyConnected::evaluate_to` is to leave the sums of the next step's batch.
  View sums() const;
  /// Adds the step, of a batch of so many samples. Not where the queue is full, and then due.
  void push(const Record& record, std::int64_t samples);
  /// Whether to call `take` before the next step.
  bool is_due() const { return size() >= period_; }
  /// Waits for the device, and hands out all steps with their loss and accuracy.
  std::vector<Record> take();

 private:
  using Clock = std::chrono::steady_clock;

  struct Step {
    Record record;
    std::int64_t samples = 0;
  };

  std::int64_t size() const { return static_cast<std::int64_t>(steps_.size()); }
  void adapt_period();

  Context context_;
  std::int64_t most_;        // fewer than the optimizer keeps reports of
  std::int64_t period_ = 1;  // steps between two calls of `take`
  Array sums_;               // (2 most): of each step log p and the number of right answers
  std::vector<Step> steps_;
  Clock::time_point begun_;  // when the first of them was enqueued
};

}  // namespace natgrad::trainer
