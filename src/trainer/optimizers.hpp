#pragma once

#include "natgrad/checkpoint.hpp"
#include "natgrad/natural_gradient.hpp"
#include "trainer/metrics.hpp"
#include "trainer/settings.hpp"
#include "trainer/tasks/task.hpp"

#include <cstdint>
#include <memory>
#include <string>

namespace natgrad::trainer {

/// One of the methods that a run can be made with.
class Optimizer {
 public:
  virtual ~Optimizer() = default;

  /// Moves the parameters of `task`, which has taken a batch. Does not wait. Throws `StepFailed`
  /// where ten steps in a row have failed; some of them may not be reported yet.
  virtual void step(Task& task) = 0;

  /// Enters the figures of the oldest step that was not reported yet, which must have run. No more
  /// than 64 may wait for it. Throws `StepFailed` where the step is the tenth failure in a row.
  virtual void report(Record& record) = 0;

  /// Writes itself, the parameters and `blobs` to a checkpoint, and takes itself and the parameters
  /// from one.
  virtual void save(const std::string& path, const Blobs& blobs) const = 0;
  virtual void restore(const Checkpoint& checkpoint) = 0;
};

/// The library's options that the settings of a run with the natural gradient stand for. `steps`:
/// of the whole run, over which a rate falls.
NaturalGradient::Options natural_options(const Settings& settings, std::int64_t steps);

/// Throws `OptionError` and `MemoryError` as the library's optimizers do.
std::unique_ptr<Optimizer> make_optimizer(const Settings& settings, const Parameters& parameters,
                                          std::int64_t steps);

}  // namespace natgrad::trainer
