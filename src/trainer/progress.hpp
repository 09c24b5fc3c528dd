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

  /// `start`: where the run stands, at step 0 or where it is resumed. `evaluation`: its last
  /// evaluation in words, empty where there was none.
  void begin(const std::string& headline, std::int64_t total_steps, const Record& start,
             const std::string& evaluation);
  void step(const Record& record);
  /// `words`: the evaluation's figures.
  void evaluation(const Record& record, const std::string& words);
  /// `summary`: the figure that counts, in words.
  void finish(const Record& record, const std::string& summary);

 private:
  using Clock = std::chrono::steady_clock;

  void end_line();

  Style style_;
  std::int64_t total_steps_ = 0;
  std::int64_t begin_step_ = 0;
  double begin_seconds_ = 0;
  std::string evaluation_;  // the last one, in words
  Clock::time_point shown_;
  bool line_is_open_ = false;
};

/// Prints to standard output at once. Throws `FileError` when it cannot be written.
void print(std::string_view text);

/// Returns `silent` when quiet, else what suits standard output.
Progress::Style progress_style(bool quiet);

}  // namespace natgrad::trainer
