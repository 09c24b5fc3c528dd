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
/// + b_l, a_l = activation(z_l). It has its weights, the parameters theta, in arrays on the
/// context's device, and serves as the sample model of the library. N: rows (samples) of a batch,
/// P: parameters, C: classes.
class NATGRAD_EXPORT FullyConnected {
 public:
  struct Options {
    std::vector<std::int64_t> sizes;  ///< inputs, hidden widths, classes; at least two, all > 0
    Activation activation = Activation::tanh;
    ElementType type = ElementType::float32;  ///< float32 or float64
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

  /// Makes a net with drawn weights. Waits. Throws `OptionError` for sizes that are too few or not
  /// > 0, an activation that is none and a type that is no float, `MemoryError` where there is no
  /// room for the weights.
  FullyConnected(const Context& context, Options options);
  ~FullyConnected();
  FullyConnected(FullyConnected&&) noexcept;
  FullyConnected& operator=(FullyConnected&&) noexcept;
  FullyConnected(const FullyConnected&) = delete;
  FullyConnected& operator=(const FullyConnected&) = delete;

  /// The weight (d_out, d_in) and the bias (d_out) of every layer, first layer first.
  const Parameters& parameters() const;
  const Options& options() const;

  /// Computes the outputs of `inputs` (N, sizes.front()), which must stay unchanged until the step
  /// that uses them has run. 2 N P operations. Allocates when N is larger than ever before. Does
  /// not wait. Throws `ShapeError`, `TypeError`, `DeviceError` or `ArgumentError` for inputs that
  /// do not fit, and keeps the batch before; `ArgumentError` for inputs that are outputs of this
  /// net and `MemoryError` without room, and has then no batch.
  void forward(const ConstView& inputs);

  /// The outputs z_L before softmax, (N, C), of the last `forward`, valid until the next. Throws
  /// `ArgumentError` before `forward`.
  ConstView outputs() const;

  /// Computes the scores of log p(y_n | x_n) at `labels` (N, int32 in [0, C)) with respect to every
  /// layer's output, of the last `forward`. A label out of range makes its row NaN and the outcome
  /// of the step `not_finite`. 2 N P operations less those of the first layer. Does not wait.
  /// Throws `ArgumentError` before `forward` and for labels that are missing, `ShapeError`,
  /// `TypeError` or `DeviceError` for labels of another number, type or place.
  void backward(const ConstView& labels);

  /// Begins a set with the rows of `backward` and adds every layer to it; `set.samples` is N. The
  /// set's views are valid until the next `forward` or `backward`. Does not wait. Throws
  /// `ArgumentError` before `backward` or for scores of other parameters, `ShapeError` when
  /// `set.samples` is not N; the set stays as it was.
  void add_to(LayerScores& scores, const RowSet& set) const;

  /// Draws labels from the model, `draws` for each row of the last `forward`, and computes the
  /// scores of log p at them with respect to every layer's output: rows whose S^T S has the Fisher
  /// matrix as its expectation, and whose mean is no gradient of anything. Label k of row n is that
  /// of softmax(z_n) at a uniform number that follows from the key of the options, the number of
  /// calls before (modulo 2^32) and n draws + k alone: that number is the same on every machine and
  /// backend, and another in every call. Outputs that are not finite give a row of NaN and the
  /// outcome `not_finite`. What `backward` computed is not touched. Costs `draws` times what
  /// `backward` does, and arrays for the scores of N draws rows, allocated when there are more than
  /// ever before. Does not wait. Throws `ArgumentError` before `forward`, `OptionError` for draws <
  /// 1 or N draws beyond 64 bits, `MemoryError` without room. Kunstner, Balles, Hennig 2019,
  /// "Limitations of the empirical Fisher approximation for natural gradient descent".
  void sample(std::int64_t draws = 1);

  /// The labels that `sample` drew, (N draws) int32, order row, draw; valid until the next
  /// `forward` or `sample`. Throws `ArgumentError` before `sample`.
  ConstView sampled_labels() const;

  /// Begins a set with the rows of `sample` and adds every layer to it; `set.samples` is N draws,
  /// their inputs are shared and not copied. Each row's weight is 1 / `set.batch_samples`, and that
  /// counts rows: of a batch of M samples in parts it is M draws (the default where the set is the
  /// whole batch), so that the draws of one sample share its 1/M. The step needs a gradient of the
  /// data beside them: `Batch{.fisher = sampled, .gradient = data}`, data from `add_to`. The set's
  /// views are valid until the next `forward` or `sample`. Does not wait. Throws `ArgumentError`
  /// before `sample`, for scores of other parameters and for scores that are not
  /// `FisherKind::sampled`, `ShapeError` when `set.samples` is not N draws; the set stays as it
  /// was.
  void add_sampled_to(LayerScores& scores, const RowSet& set) const;

  /// How many times labels were drawn: with the parameters all that the next `sample` depends on,
  /// for a checkpoint of the caller's. Waits.
  std::int64_t draw_counter() const;
  /// Sets it. Does not wait. Throws `OptionError` outside of [0, 2^53].
  void set_draw_counter(std::int64_t counter);

  /// Bytes that a net of these options holds, weights included, once it has seen batches of
  /// `samples` and drawn `draws` labels for each (0: `sample` was never called). Throws
  /// `OptionError` for numbers below 0 and for options that the constructor refuses, `MemoryError`
  /// for more bytes than an address can count.
  static std::int64_t bytes(const Options& options, std::int64_t samples, std::int64_t draws = 0);

  /// Computes the gradient of the mean log-likelihood over the batch, P contiguous numbers in the
  /// order of `parameters()`, as plain training computes it: one matrix product a layer, 2 N P
  /// operations. Does not wait. Throws `ArgumentError` before `backward` and for a result that
  /// overlaps an array of the net, `ShapeError`, `TypeError` or `DeviceError` for one of another
  /// size, type or place.
  void gradient(const View& gradient) const;

  /// Writes log p(y_n | x_n) of every row of the last `forward` at `labels` (N, int32), in nats:
  /// `log_p` is float64 (N) on the context's device, NaN where a label is out of range. What
  /// `check_scores` asks for. Costs N C exponentials. Does not wait. Throws `ArgumentError` before
  /// `forward` and for a `log_p` that overlaps an array of the net or the labels, `ShapeError`,
  /// `TypeError` or `DeviceError` for labels or a result that do not fit.
  void log_likelihood(const ConstView& labels, const View& log_p) const;

  /// Loss and accuracy of the last `forward` at `labels` (N, int32). NaN where a label is out of
  /// range. Costs N C exponentials. Waits. Throws `ArgumentError` before `forward`, `ShapeError`,
  /// `TypeError` or `DeviceError` for labels that do not fit.
  Evaluation evaluate(const ConstView& labels);

  /// What `evaluate` is made from, without waiting: writes the sum of log p(y_n | x_n), in nats,
  /// and the number of rows whose largest output is the label. `sums` is float64 (2) on the
  /// context's device. Costs N C exponentials. Throws `ArgumentError` before `forward` and for
  /// `sums` that overlap an array of the net or the labels, `ShapeError`, `TypeError` or
  /// `DeviceError` for labels or a result that do not fit.
  void evaluate_to(const ConstView& labels, const View& sums) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace natgrad
