#pragma once

#include "natgrad/context.hpp"
#include "natgrad/error.hpp"
#include "natgrad/models/fully_connected.hpp"
#include "trainer/data/dataset.hpp"
#include "trainer/metrics.hpp"
#include "trainer/options.hpp"
#include "trainer/progress.hpp"
#include "trainer/saved_run.hpp"
#include "trainer/stopwatch.hpp"

#include <cstdint>

namespace natgrad::trainer {

/// A run whose loss is no longer finite.
class Diverged : public Error {
 public:
  using Error::Error;
};

/// Where a run leaves its figures.
struct Outputs {
  MetricsFile& metrics;
  Progress& progress;
  Stopwatch& stopwatch;
};

/// The net of a run on this data.
FullyConnected::Options net_options(const Options& options, const io::Dataset& data);

/// Samples of the test set that are evaluated at once: a large one needs no large memory.
inline constexpr std::int64_t evaluation_part = 1000;

/// Trains a fully connected net on `data`, from the beginning or (not null) from where `saved`
/// stands. Throws `Diverged` naming the step, and `StepFailed`.
void train(const Options& options, const io::Dataset& data, const Context& context, Outputs outputs,
           const SavedRun* saved);

}  // namespace natgrad::trainer
