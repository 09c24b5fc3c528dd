#pragma once

#include "natgrad/array.hpp"
#include "natgrad/context.hpp"
#include "natgrad/export.hpp"
#include "natgrad/parameters.hpp"
#include "natgrad/scores.hpp"
#include "natgrad/types.hpp"

#include <cstdint>
#include <memory>
#include <optional>
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
    /// Key of the labels that `sample` draws; default: `seed`, whose weights are other numbers.
    std::optional<std::uint64_t> sampling_key = {};
    /// Products of float may take NVIDIA's TF32 where a GPU has it: of factors with eleven
    /// significant bits.
    bool allow_tf32 = false;
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

  /// Draws labels from the model, `draws` for each row of the last `forward`, and computes the
  /// scores of log p at them with respect to every layer's output: rows whose S^T S has the Fisher
  /// matrix as its expectation (Kunstner, Balles, Hennig 2019, "Limitations of the empirical Fisher
  /// approximation for natural gradient descent"), and whose own mean is no gradient of anything.
  /// Label k of row n is that of softmax(z_n) at a uniform number that follows from the key of the
  /// options, the number of calls before (modulo 2^32) and n draws + k alone: that number is the
  /// same on every machine and backend, and another in every call. Outputs that are not finite give
  /// a row of NaN and the outcome `not_finite`. What `backward` left is not touched. Costs `draws`
  /// times what `backward` does; N draws rows of scores of its own, allocated when there are more
  /// than ever before. Does not wait. Throws `ArgumentError` before `forward`, `OptionError` for
  /// draws < 1, `MemoryError` without room.
  void sample(std::int64_t draws = 1);

  /// The labels that `sample` drew, (N draws) int32, order row, draw (`ArgumentError` before).
  ConstView sampled_labels() const;

  /// Begins a set with the rows of `sample` and adds every layer to it; `set.samples` is N draws,
  /// their inputs are shared and not copied. Each row's weight is 1 / `set.batch_samples`, and that
  /// counts rows: of a batch of M samples in parts it is M draws (the default where the set is the
  /// whole batch), so that the draws of one sample share its 1/M. The step needs a gradient of the
  /// data beside them: `Batch{.fisher = sampled, .gradient = data}`, data from `add_to`. Valid and
  /// throws like `add_to`, and `ArgumentError` before `sample` or for scores that are not
  /// `FisherKind::sampled`.
  void add_sampled_to(LayerScores& scores, const RowSet& set) const;

  /// How many times labels were drawn: with the parameters all that the next `sample` depends on,
  /// for a checkpoint of the caller's. Waits. Setting it, from 0 to 2^53 (`OptionError`), does not.
  std::int64_t draw_counter() const;
  void set_draw_counter(std::int64_t counter);

  /// Bytes that a net of these options holds, weights included, once it has seen batches of
  /// `samples` and drawn `draws` labels for each (0: `sample` was never called). Throws
  /// `OptionError` for numbers below 0 and sizes as the constructor does, `MemoryError` for more
  /// bytes than an address can count.
  static std::int64_t bytes(const Options& options, std::int64_t samples, std::int64_t draws = 0);

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

  /// What `evaluate` is made from, without waiting: writes the sum of log p(y_n | x_n), in nats,
  /// and the number of rows whose largest output is the label. `sums` is float64 (2) on the
  /// context's device. Throws like `backward`, and `ArgumentError` for `sums` that overlap an array
  /// of the net or the labels.
  void evaluate_to(const ConstView& labels, const View& sums) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace natgrad
