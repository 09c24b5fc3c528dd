#pragma once

#include <chrono>

namespace natgrad::trainer {

/// Measures the time since the start of the program, and apart from it that spent in evaluations.
class Stopwatch {
 public:
  using Clock = std::chrono::steady_clock;

  explicit Stopwatch(Clock::time_point start) : start_(start) {}

  /// Adds what an earlier program took for the same run.
  void add(double seconds, double evaluation_seconds) {
    evaluation_ += in_ticks(evaluation_seconds);
    start_ -= in_ticks(seconds) + in_ticks(evaluation_seconds);
  }

  double seconds() const { return in_seconds(Clock::now() - start_ - evaluation_); }
  double evaluation_seconds() const { return in_seconds(evaluation_); }

  /// Runs `evaluation`, counts its time apart and returns its result.
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

  static Clock::duration in_ticks(double seconds) {
    return std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
  }

  Clock::time_point start_;
  Clock::duration evaluation_{};
};

}  // namespace natgrad::trainer
