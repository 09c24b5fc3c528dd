#pragma once

#include "natgrad/types.hpp"

#include <cstdint>
#include <fstream>
#include <optional>
#include <string>

namespace natgrad::trainer {

/// One line of figures: of a step, of an evaluation, or the last of both.
struct Record {
  std::int64_t step = 0;   ///< steps taken, from 1
  std::int64_t epoch = 0;  ///< the epoch that the step belongs to, from 1
  double seconds = 0;      ///< since the start of the program, without evaluations
  double evaluation_seconds = 0;
  std::optional<double> loss = {};      ///< of the step's batch before the step, nats a sample
  std::optional<double> accuracy = {};  ///< likewise
  std::optional<double> test_loss = {};
  std::optional<double> test_accuracy = {};
  std::optional<double> damping = {};
  std::optional<double> rate = {};
  std::optional<double> quadratic_form = {};
  std::optional<double> residual = {};
  std::optional<double> error_bound = {};
  std::optional<Outcome> outcome = {};
  bool is_final = false;
};

/// Records as JSON lines, each with the figures that it has; a number that is not finite is null.
class MetricsFile {
 public:
  /// An empty path writes nothing. Throws `FileError` when the file cannot be written.
  explicit MetricsFile(const std::string& path);

  /// Writes one line, which others can read at once. Throws `FileError` when there is no room.
  void write(const Record& record);

 private:
  std::string path_;
  std::ofstream file_;
};

}  // namespace natgrad::trainer
