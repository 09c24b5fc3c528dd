#pragma once

#include "natgrad/error.hpp"
#include "trainer/metrics.hpp"
#include "trainer/progress.hpp"
#include "trainer/saved_run.hpp"
#include "trainer/settings.hpp"
#include "trainer/stopwatch.hpp"
#include "trainer/tasks/task.hpp"

#include <functional>
#include <string_view>

namespace natgrad::trainer {

/// A run with a figure that is no longer finite.
class Diverged : public Error {
 public:
  using Error::Error;
};

/// Where a run leaves its figures.
struct Outputs {
  MetricsFile& metrics;
  Progress& progress;
  Stopwatch& stopwatch;
  std::function<void(std::string_view)> warn;  ///< receives one line a warning
};

/// Trains the model of `task`, from the beginning or (not null) from where `saved` stands. Throws
/// `Diverged` naming the step, `StepFailed` once ten steps in a row have failed, and `OptionError`
/// and `FileError` where `saved` does not go with the run. A run whose last steps failed, fewer
/// than ten, ends with a warning.
void train(const Settings& settings, Task& task, const Outputs& outputs, const SavedRun* saved);

}  // namespace natgrad::trainer
