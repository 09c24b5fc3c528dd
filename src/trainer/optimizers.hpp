#pragma once

#include "natgrad/checkpoint.hpp"
#include "natgrad/models/fully_connected.hpp"
#include "trainer/metrics.hpp"
#include "trainer/options.hpp"

#include <cstdint>
#include <memory>
#include <string>

namespace natgrad::trainer {

/// One of the methods that a run can be made with.
class Optimizer {
 public:
  virtual ~Optimizer() = default;

  /// Moves the parameters of `net`, whose `forward` and `backward` have seen a batch of `samples`.
  /// Does not wait. Throws `StepFailed` where earlier steps that were not reported yet have failed.
  virtual void step(FullyConnected& net, std::int64_t samples) = 0;

  /// Enters the figures of the oldest step that was not reported yet, which must have run. No more
  /// than 64 may wait for it. Throws `StepFailed` where the step is the tenth failure in a row.
  virtual void report(Record& record) = 0;

  /// Writes itself and the parameters to a checkpoint, and takes them from one.
  virtual void save(const std::string& path, const Blobs& blobs) = 0;
  virtual void restore(const Checkpoint& file) = 0;
};

/// `steps`: of the whole run, over which a rate falls.
std::unique_ptr<Optimizer> make_optimizer(const Method& method, const Parameters& parameters,
                                          std::int64_t steps);

}  // namespace natgrad::trainer
