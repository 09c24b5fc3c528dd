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
    OutputDistribution distribution;
    std::int64_t outputs;  ///< C
    ElementType type;      ///< of the outputs
    std::uint64_t key;     ///< of the targets that `sample` draws

    /// Throws `OptionError` for a likelihood that is none, outputs that are not its multiple and a
    /// sigma that is not finite or not > 0.
    void check() const;
  };

  struct Means {
    double log_p;   ///< in nats
    double figure;  ///< of the likelihood: accuracy or squared error
  };

  /// Of checked options. Throws `MemoryError` without room.
  Head(const Context& context, const Options& options);

  /// Makes room for so many rows; allocates when there are more than ever before. Throws
  /// `MemoryError` without room.
  void reserve(std::int64_t rows);

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

  /// The rows of the root of the outputs' Fisher matrix, (N C, C), and their coefficients r, (N C)
  /// float64. Does not wait.
  void exact(const ConstView& z, const ConstView& targets, const View& rows, const View& r) const;

  /// loss[0] = -sum_n w_n log p_n, w_n = 1/N where no weights (N) are given; float64. Does not
  /// wait.
  void loss(const ConstView& z, const ConstView& targets, const ConstView& weights,
            const View& loss) const;

  /// kl[0] = sum_n w_n KL(p(. | z_n) || p(. | now_n)), w_n = 1/N where no weights (N) are given;
  /// float64. Does not wait.
  void kl(const ConstView& z, const ConstView& now, const ConstView& weights, const View& kl) const;

  /// How many times `sample` drew. Waits; setting it does not, and throws `OptionError` outside of
  /// [0, 2^53].
  std::int64_t draw_counter() const;
  void set_draw_counter(std::int64_t counter) const;

  /// Adds the bytes that it holds once it has seen `rows` rows and drawn `draws` targets for each.
  static void count(const Options& options, std::int64_t rows, std::int64_t draws,
                    ByteCount& bytes);

 private:
  View rows_of_values(std::int64_t rows) const { return values_.view().row_range(0, rows); }
  void sum(double factor, const ConstView& values, const ConstView& weights,
           const View& result) const;

  Options options_;
  Context context_;
  Backend& backend_;
  Array sums_;                   // (2) of an evaluation
  Array drawings_;               // (1) float64: how many times targets were drawn
  detail::GrowingArray values_;  // (N) float64: a number of every row that is to be summed
  detail::GrowingArray drawn_;   // (N draws, K)
};

}  // namespace natgrad
