#pragma once

#include "natgrad/array.hpp"
#include "natgrad/context.hpp"
#include "trainer/data/dataset.hpp"

#include <cstdint>

namespace natgrad::trainer {

/// Samples on the device.
struct StagedExamples {
  /// `type`: of the numbers, float32 or float64; labels of classes are int32. Waits.
  StagedExamples(const Context& context, const Examples& examples, ElementType type);

  std::int64_t count() const { return inputs.view().rows(); }
  std::int64_t bytes() const;

  Array inputs;   // (count, inputs)
  Array targets;  // (count, targets)
};

/// The samples of one step, valid until the next.
struct SampleBatch {
  ConstView inputs;        // (samples, inputs)
  ConstView targets;       // (samples, targets)
  std::int64_t epoch = 0;  // from 1
  bool ends_epoch = false;
};

/// Hands out the data in batches, in a fresh order every epoch. An epoch is cut into the fewest
/// batches of at most `largest` samples, as equal as they can be: a small rest would make a noisy
/// step, and leaving it out would waste it.
class Batches {
 public:
  /// Keeps a reference to `examples`. `seed`: key of the orders.
  Batches(const Context& context, const StagedExamples& examples, std::int64_t largest,
          std::uint64_t seed);

  std::int64_t per_epoch() const { return per_epoch_; }
  std::int64_t largest() const { return targets_.view().rows(); }  ///< samples of a batch
  std::int64_t bytes() const;
  /// Does not wait, but at the first batch of an epoch, whose order goes to the device.
  SampleBatch next();

  /// How many batches were handed out, in all epochs.
  std::int64_t taken() const { return taken_; }
  /// Goes on behind the first `taken` batches.
  void skip_to(std::int64_t taken);

 private:
  void shuffle();
  std::int64_t first_of(std::int64_t batch) const { return batch * examples_.count() / per_epoch_; }

  Context context_;
  const StagedExamples& examples_;
  std::uint64_t seed_;
  std::int64_t per_epoch_;
  std::int64_t taken_ = 0;
  Array order_;    // (count) int32
  Array inputs_;   // (samples of the largest batch, inputs)
  Array targets_;  // (samples of the largest batch, targets)
};

}  // namespace natgrad::trainer
