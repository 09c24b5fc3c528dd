#pragma once

#include "backend/backend.hpp"
#include "core/growing_array.hpp"
#include "models/byte_count.hpp"
#include "natgrad/array.hpp"
#include "natgrad/context.hpp"
#include "natgrad/types.hpp"

#include <cstdint>

namespace natgrad {

/// The likelihood p(y | z) of a model's outputs z, (N, C), at targets y, (N, K): scores, figures
/// and targets drawn from the model. It knows nothing of how z came about.
class Head {
 public:
  struct Options {
    Likelihood likelihood;
    std::int64_t outputs;  ///< C
    ElementType type;      ///< of the outputs
    std::uint64_t key;     ///< of the targets that `sample` draws
  };

  struct Means {
    double log_p;   ///< in nats
    double figure;  ///< of the likelihood; categorical: the accuracy
  };

  /// Throws `OptionError` for a likelihood that is in no row of the table, `MemoryError` without
  /// room.
  Head(const Context& context, const Options& options);

  /// Throws `ArgumentError`, `DeviceError`, `TypeError` or `ShapeError` unless these are targets of
  /// `rows` rows of outputs; no rows: there was no forward. `caller` is named in the text.
  void check_targets(const char* caller, const ConstView& targets, std::int64_t rows) const;

  /// score = d log p(y | z) / dz, (N R, C) for targets (N R, K): R rows share an output. Does not
  /// wait.
  void score(const ConstView& z, const ConstView& targets, const View& score) const;

  /// Draws targets (N draws, K) from p(. | z), order row, draw, and advances the counter. Allocates
  /// when there are more than ever before. Does not wait. The result is valid until the next call.
  ConstView sample(const ConstView& z, std::int64_t draws);

  /// log_p_n = log p(y_n | z_n) in nats, (N) float64. Does not wait.
  void log_likelihood(const ConstView& z, const ConstView& targets, const View& log_p) const;

  /// sums[0] = sum of log p, sums[1] = sum of the likelihood's figure, float64 (2). Does not wait.
  void evaluate(const ConstView& z, const ConstView& targets, const View& sums) const;
  /// The same two sums as means over the rows. Waits.
  Means evaluate(const ConstView& z, const ConstView& targets) const;

  /// How many times `sample` drew. Waits; setting it does not, and throws `OptionError` outside of
  /// [0, 2^53].
  std::int64_t draw_counter() const;
  void set_draw_counter(std::int64_t counter) const;

  /// Adds the bytes that it holds once it has drawn `draws` targets for each of `rows` rows.
  static void count(const Options& options, std::int64_t rows, std::int64_t draws,
                    ByteCount& bytes);

 private:
  Options options_;
  Context context_;
  Backend& backend_;
  Array sums_;                  // (2) of an evaluation
  Array drawings_;              // (1) float64: how many times targets were drawn
  detail::GrowingArray drawn_;  // (N draws, K)
};

}  // namespace natgrad
