#pragma once

#include "trainer/metrics.hpp"

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

namespace natgrad::trainer {

/// What a run shows on standard output: on a terminal one line that is rewritten, elsewhere a line
/// an evaluation; a summary at the end.
class Progress {
 public:
  enum class Style : std::uint8_t { silent, lines, terminal };

  explicit Progress(Style style) : style_(style) {}
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  ~Progress();

  /// `start`: where the run stands, at step 0 or in the figures of the last evaluation.
  void begin(const std::string& headline, std::int64_t total_steps, const Record& start);
  void step(const Record& record);
  void evaluation(const Record& record);
  void finish(const Record& record);

 private:
  using Clock = std::chrono::steady_clock;

  void end_line();
  void note_test_figures(const Record& record);

  Style style_;
  std::int64_t total_steps_ = 0;
  std::int64_t begin_step_ = 0;
  double begin_seconds_ = 0;
  std::string test_;  // the last evaluation, in words
  Clock::time_point shown_;
  bool line_is_open_ = false;
};

/// Prints to standard output at once. Throws `FileError` when it cannot be written.
void print(std::string_view text);

/// `silent` when quiet, else what standard output is.
Progress::Style progress_style(bool quiet);

}  // namespace natgrad::trainer
