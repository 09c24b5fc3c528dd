#pragma once

#include "natgrad/models/fully_connected.hpp"
#include "trainer/metrics.hpp"
#include "trainer/options.hpp"

#include <memory>

namespace natgrad::trainer {

/// One of the methods that a run can be made with.
class Optimizer {
 public:
  virtual ~Optimizer() = default;

  /// Moves the parameters of `net`, whose `forward` and `backward` have seen a batch of `samples`,
  /// and enters the step's figures in `record`. Throws `StepFailed`.
  virtual void step(const FullyConnected& net, std::int64_t samples, Record& record) = 0;
};

std::unique_ptr<Optimizer> make_optimizer(const Method& method, const Parameters& parameters);

}  // namespace natgrad::trainer
