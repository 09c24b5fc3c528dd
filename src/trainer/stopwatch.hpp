#pragma once

#include <chrono>

namespace natgrad::trainer {

/// Time since the start of the program, that spent in evaluations kept apart.
class Stopwatch {
 public:
  using Clock = std::chrono::steady_clock;

  explicit Stopwatch(Clock::time_point start) : start_(start) {}

  double seconds() const { return in_seconds(Clock::now() - start_ - evaluation_); }
  double evaluation_seconds() const { return in_seconds(evaluation_); }

  /// Runs `evaluation` and counts its time apart.
  template <class Evaluation>
  auto apart(const Evaluation& evaluation) {
    const Clock::time_point before = Clock::now();
    auto result = evaluation();
    evaluation_ += Clock::now() - before;
    return result;
  }

 private:
  static double in_seconds(Clock::duration time) {
    return std::chrono::duration<double>(time).count();
  }

  Clock::time_point start_;
  Clock::duration evaluation_{};
};

}  // namespace natgrad::trainer
