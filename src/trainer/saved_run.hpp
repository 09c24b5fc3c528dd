#pragma once

#include "natgrad/checkpoint.hpp"
#include "trainer/metrics.hpp"
#include "trainer/settings.hpp"

#include <string>

namespace natgrad::trainer {

/// Where a run stands, beside its parameters, its optimizer and its task.
struct RunState {
  Record last = {};                ///< of the last step, with the figures of the last evaluation
  MetricsFile::Kept metrics = {};  ///< length of the file; none: there was none
};

/// What a checkpoint holds of a run beside the task's own blobs: its state, and the settings that
/// it must be resumed with.
Blobs to_blobs(const Settings& settings, const RunState& state);

/// A checkpoint to go on with.
class SavedRun {
 public:
  /// Reads the file. Throws `FileError` as `Checkpoint` and where it is no run of this program, and
  /// `OptionError` for a run with other settings.
  SavedRun(const std::string& path, const Settings& settings);

  const Checkpoint& checkpoint() const { return checkpoint_; }
  const RunState& state() const { return state_; }

  /// Throws `OptionError` for a run that is to end before the saved one stands.
  void require_before(std::int64_t total_steps) const;

 private:
  Checkpoint checkpoint_;
  RunState state_;
};

}  // namespace natgrad::trainer
