#pragma once

#include "natgrad/checkpoint.hpp"
#include "trainer/metrics.hpp"
#include "trainer/options.hpp"

#include <cstdint>

namespace natgrad::trainer {

/// Where a run stands, beside its parameters and its optimizer.
struct RunState {
  Record last = {};          // of the last step, with the figures of the last evaluation
  std::int64_t batches = 0;  // that the loader has handed out; their order follows from the seed
  std::int64_t draws = 0;    // of labels by the net
  std::int64_t train_samples = 0;
  std::int64_t test_samples = 0;
  MetricsFile::Kept metrics = {};  // length of the file; none: there was none
};

/// What a checkpoint holds of a run: its state, and the options that it must be resumed with.
Blobs to_blobs(const Options& options, const RunState& state);

/// A checkpoint to go on with.
class SavedRun {
 public:
  /// Reads `options.resume_file`. Throws `FileError` as `Checkpoint` and where it is no run of
  /// this program, and `OptionError` as `require_same_run`.
  explicit SavedRun(const Options& options);

  const Checkpoint& file() const { return file_; }
  const RunState& state() const { return state_; }

  /// Throws `FileError` for another number of samples, `OptionError` for a run that is to end
  /// before the saved one stands.
  void require_fits(std::int64_t train_samples, std::int64_t test_samples,
                    std::int64_t total_steps) const;

 private:
  Checkpoint file_;
  RunState state_;
};

}  // namespace natgrad::trainer
