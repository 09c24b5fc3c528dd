#pragma once

#include "trainer/figures.hpp"

#include <cstdint>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>

namespace natgrad::trainer {

/// One line of the metrics: of a step, of an evaluation, or the last of both.
struct Record {
  std::int64_t step = 0;          ///< steps tried, from 1
  std::int64_t epoch = 0;         ///< the epoch that the step belongs to, from 1; 0: there is none
  double seconds = 0;             ///< since the start of the program, without evaluations
  double evaluation_seconds = 0;  ///< spent in evaluations
  Figures batch = {};             ///< of the task, of the step's batch, before the step
  Figures evaluation = {};        ///< of the task, of an evaluation after the step
  Figures method = {};            ///< of the optimizer
  std::string outcome = {};       ///< of a natural step: the name of its `Outcome`
  std::int64_t failures_in_a_row = 0;  ///< natural steps up to this one that were not accepted
  bool is_final = false;
};

/// Records as JSON lines, each with the figures that it has; a number that is not finite is null.
class MetricsFile {
 public:
  /// What of an existing file is to stay: its first bytes, or (none) all.
  using Kept = std::optional<std::int64_t>;

  /// Opens the file, and changes nothing yet. An empty path writes nothing. A file that is missing
  /// or empty begins anew. Throws `FileError` when it cannot be written or is shorter than what is
  /// to stay.
  MetricsFile(const std::string& path, Kept kept);

  /// Cuts the file off behind what is to stay. Before the first line.
  void begin();

  /// Writes one line, which others can read at once. Throws `FileError` when there is no room.
  void write(const Record& record);

  /// Brings the file to the disk and returns its length; none where nothing is written.
  Kept synchronize() const;

 private:
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };

  std::string path_;
  std::unique_ptr<std::FILE, Close> file_;  // without a buffer
  std::int64_t length_ = 0;
  bool can_be_cut_ = false;  // a pipe cannot
};

}  // namespace natgrad::trainer
