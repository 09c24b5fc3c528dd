#pragma once

#include "io/descriptor.hpp"
#include "natgrad/types.hpp"

#include <cstdint>
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
  std::optional<double> predicted_kl = {};  ///< nats a sample; of sampled rows
  std::optional<double> quadratic_form = {};
  std::optional<double> residual = {};
  std::optional<double> error_bound = {};
  std::optional<Outcome> outcome = {};
  bool is_final = false;
};

/// Calls visit(name, figure) for every figure that a record may have.
template <class AnyRecord, class Visit>
void visit_figures(AnyRecord& record, const Visit& visit) {
  visit("loss", record.loss);
  visit("accuracy", record.accuracy);
  visit("test_loss", record.test_loss);
  visit("test_accuracy", record.test_accuracy);
  visit("damping", record.damping);
  visit("rate", record.rate);
  visit("predicted_kl", record.predicted_kl);
  visit("quadratic_form", record.quadratic_form);
  visit("residual", record.residual);
  visit("error_bound", record.error_bound);
}

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
  std::string path_;
  io::Descriptor file_;
  std::int64_t length_ = 0;
  bool can_be_cut_ = false;  // a pipe cannot
};

}  // namespace natgrad::trainer
