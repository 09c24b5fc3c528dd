#pragma once

#include "natgrad/array.hpp"
#include "natgrad/context.hpp"
#include "natgrad/export.hpp"
#include "natgrad/parameters.hpp"
#include "natgrad/scores.hpp"
#include "natgrad/types.hpp"

#include <cstdint>
#include <memory>
#include <vector>

namespace natgrad {

/// A fully connected net with a softmax output, p(y | x, theta) = softmax(z_L)_y, z_l = W_l a_{l-1}
/// + b_l, a_l = activation(z_l). It owns its weights, and serves as the sample model of the
/// library.
class NATGRAD_EXPORT FullyConnected {
 public:
  struct Options {
    std::vector<std::int64_t> sizes;  ///< inputs, hidden widths, classes; at least two, all > 0
    Activation activation = Activation::tanh;
    ElementType type = ElementType::float32;
    /// Key of the initial weights: uniform in +-gain sqrt(3 / d_in), gain sqrt(2) for relu and
    /// gelu, 1 for the others; biases 0. The same numbers on every machine and backend.
    std::uint64_t seed = 0;
  };

  /// Means over the batch that `forward` was last given.
  struct Evaluation {
    double loss = 0;      ///< mean of -log p(y_n | x_n), in nats
    double accuracy = 0;  ///< share of rows whose largest output is the label
  };

  /// Throws `OptionError` for sizes that are too few or not > 0, `MemoryError` without room. Waits.
  FullyConnected(const Context& context, Options options);
  ~FullyConnected();
  FullyConnected(FullyConnected&&) noexcept;
  FullyConnected& operator=(FullyConnected&&) noexcept;
  FullyConnected(const FullyConnected&) = delete;
  FullyConnected& operator=(const FullyConnected&) = delete;

  const Parameters& parameters() const;
  const Options& options() const;

  /// Computes the outputs of `inputs` (N, sizes.front()), which must stay unchanged until the step
  /// that uses them has run. 2 N P operations. Allocates when N is larger than ever before. Does
  /// not wait. Throws `ShapeError`, `TypeError`, `DeviceError` or `ArgumentError` for inputs that
  /// do not fit or are the net's own outputs, `MemoryError` without room, and has then forgotten
  /// its batch.
  void forward(const ConstView& inputs);

  /// The outputs z_L before softmax, (N, classes), of the last `forward` (`ArgumentError` before).
  ConstView outputs() const;

  /// Scores of log p(y_n | x_n) at `labels` (N, int32 in [0, classes)) with respect to every
  /// layer's output, of the last `forward`. A label out of range makes its row NaN and the outcome
  /// of the step `not_finite`. 4 N P operations less those of the first layer's input. Does not
  /// wait. Throws `ArgumentError` before `forward`, `ShapeError` or `TypeError` for other labels.
  void backward(const ConstView& labels);

  /// Begins a set with these rows and adds every layer to it; after `backward`. The set's views are
  /// valid until the next `forward` or `backward`. Throws `ArgumentError` before `backward` or for
  /// scores of other parameters, `ShapeError` when `set.samples` is not N; the set stays as it was.
  void add_to(LayerScores& scores, const RowSet& set) const;

  /// Mean log-likelihood gradient over the batch, P contiguous numbers, as plain training computes
  /// it: one matrix product a layer. After `backward` (`ArgumentError`). Does not wait.
  void gradient(const View& gradient) const;

  /// Writes log p(y_n | x_n) of every row of the last `forward` at `labels` (N, int32), in nats:
  /// `log_p` is float64 (N) on the context's device, NaN where a label is out of range. What
  /// `check_scores` asks for. Does not wait. Throws like `backward`, and `ArgumentError` for a
  /// `log_p` that overlaps an array of the net or the labels.
  void log_likelihood(const ConstView& labels, const View& log_p) const;

  /// Loss and accuracy of the last `forward` at `labels` (N, int32). NaN where a label is out of
  /// range. Waits. Throws like `backward`.
  Evaluation evaluate(const ConstView& labels);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace natgrad
