#pragma once

#include "natgrad/array.hpp"
#include "natgrad/context.hpp"
#include "trainer/tasks/task.hpp"

#include <chrono>
#include <cstdint>
#include <vector>

namespace natgrad::trainer {

/// Steps that were enqueued and whose numbers lie on the device, oldest first. A step waits for
/// nothing: numbers are fetched together, of as many steps as take a quarter of a second or so. On
/// the CPU, where a step has run when it returns, of each.
class StepQueue {
 public:
  struct Step {
    std::int64_t step = 0;
    BatchPosition batch = {};
    std::vector<double> numbers = {};
  };

  /// `numbers`: that a task leaves of a step.
  StepQueue(const Context& context, std::int64_t numbers);

  /// Where `Task::next` is to leave the numbers of the next step.
  View numbers() const;
  /// Adds the step. Not where the queue is full, and then due.
  void push(std::int64_t step, const BatchPosition& batch);
  /// Whether to call `take` before the next step.
  bool is_due() const { return size() >= period_; }
  /// Empties the queue and returns the steps with their numbers. Waits.
  std::vector<Step> take();

 private:
  using Clock = std::chrono::steady_clock;

  std::int64_t size() const { return static_cast<std::int64_t>(steps_.size()); }
  void adapt_period();

  Context context_;
  std::int64_t numbers_a_step_;
  std::int64_t most_;        // fewer than the optimizer keeps reports of
  std::int64_t period_ = 1;  // steps between two calls of `take`
  Array numbers_;            // (most numbers_a_step)
  std::vector<Step> steps_;
  Clock::time_point begun_;  // when the first of them was enqueued
};

}  // namespace natgrad::trainer
