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

/// A fully connected net for classification, the sample model of the library:
/// p(y | x, theta) = softmax(z_L)_y, z_l = W_l a_{l-1} + b_l, a_l = activation(z_l), a_0 = x.
/// It owns its weights and the arrays of the last batch. N is the number of rows of that batch, P
/// the number of parameters.
class NATGRAD_EXPORT FullyConnected {
 public:
  struct Options {
    std::vector<std::int64_t> sizes;  ///< inputs, hidden widths, classes; at least two, all > 0
    Activation activation = Activation::tanh;  ///< of the hidden layers
    ElementType type = ElementType::float32;   ///< of weights, inputs and outputs; float or double
    /// Key of the initial weights, which are uniform in +-gain sqrt(3 / d_in), gain sqrt(2) for
    /// relu and gelu, 1 for the others; biases are 0. One key gives the same numbers on every
    /// machine and backend.
    std::uint64_t seed = 0;
    /// Key of the labels that `sample` draws. Default: `seed`; labels and weights are different
    /// numbers all the same.
    std::optional<std::uint64_t> sampling_key = {};
    /// Whether float products may take NVIDIA's TF32 where a GPU has it: factors are then rounded
    /// to eleven significant bits.
    bool allow_tf32 = false;
  };

  /// Means over the rows of the last `forward`.
  struct Evaluation {
    double loss = 0;      ///< mean of -log p(y_n | x_n), in nats
    double accuracy = 0;  ///< share of rows whose largest output is the label
  };

  /// Allocates the weights and draws their initial values. Waits. Throws `OptionError` for fewer
  /// than two sizes or one that is not > 0, `MemoryError` where there is no room.
  FullyConnected(const Context& context, Options options);
  ~FullyConnected();
  FullyConnected(FullyConnected&&) noexcept;
  FullyConnected& operator=(FullyConnected&&) noexcept;
  FullyConnected(const FullyConnected&) = delete;
  FullyConnected& operator=(const FullyConnected&) = delete;

  const Parameters& parameters() const;
  const Options& options() const;

  /// Computes the outputs z_L of a batch. `inputs`: (N, sizes.front()) of the net's type; they must
  /// stay unchanged until the step that uses them has run. Costs 2 N P operations, and allocates
  /// when N is larger than ever before. Does not wait. Throws `ShapeError`, `TypeError`,
  /// `DeviceError` or `ArgumentError` for inputs that do not fit or are the net's own outputs, and
  /// `MemoryError` where there is no room; the net then has no batch.
  void forward(const ConstView& inputs);

  /// The outputs z_L, before softmax, of the last `forward`: (N, classes). Throws `ArgumentError`
  /// before the first `forward`.
  ConstView outputs() const;

  /// Computes the derivatives of log p(y_n | x_n) with respect to every layer's output z_l, for the
  /// rows of the last `forward`. `labels`: (N) int32, in [0, classes); a label out of range makes
  /// its row NaN and the outcome of the step `not_finite`. Costs 2 N (P - P_1) operations, P_1 the
  /// parameters of the first layer. Does not wait. Throws `ArgumentError` before the first
  /// `forward`, `ShapeError`, `TypeError` or `DeviceError` for labels that do not fit.
  void backward(const ConstView& labels);

  /// Hands the scores of the last `backward` over: begins a set of rows and adds every layer to it.
  /// `scores`: of this net's parameters. `set.samples`: N. The views that the set then holds are
  /// valid until the next `forward` or `backward`. Copies nothing and does not wait. Throws
  /// `ArgumentError` before `backward` or for scores of other parameters, `ShapeError` when
  /// `set.samples` is not N; the set is then as before.
  void add_to(LayerScores& scores, const RowSet& set) const;

  /// Draws labels from the model, `draws` for each row of the last `forward`, and computes the
  /// derivatives of log p at them with respect to every layer's output. The expectation of S^T S of
  /// these rows is the Fisher matrix; their mean is not the gradient of a loss. The scores of
  /// `backward` are kept in arrays of their own and not touched.
  ///
  /// Label k of row n is drawn from softmax(z_n) by a uniform number that follows from
  /// `Options::sampling_key`, the number of calls before (modulo 2^32) and n draws + k alone, so
  /// that it is the same on every machine and backend and differs from call to call. Outputs that
  /// are not finite give a row of NaN and the outcome `not_finite`.
  ///
  /// Costs `draws` times what `backward` costs, and memory for N draws rows, allocated when there
  /// are more than ever before. Does not wait. Throws `ArgumentError` before the first `forward`,
  /// `OptionError` for draws < 1, `MemoryError` where there is no room. Kunstner, Balles, Hennig
  /// 2019, "Limitations of the empirical Fisher approximation for natural gradient descent".
  void sample(std::int64_t draws = 1);

  /// The labels of the last `sample`: (N draws) int32, those of one row adjacent. Throws
  /// `ArgumentError` before the first `sample` of a batch.
  ConstView sampled_labels() const;

  /// Hands the scores of the last `sample` over: begins a set of rows and adds every layer to it.
  /// The draws of one row share its inputs, which are not copied. A step needs a gradient of the
  /// data beside these rows: `Batch{.fisher = sampled, .gradient = data}`, data from `add_to`.
  ///
  /// `scores`: of this net's parameters and `FisherKind::sampled`. `set.samples`: N draws.
  /// `set.batch_samples` counts rows, too: it is M draws for a batch of M samples in parts
  /// (default: the set is the whole batch). Each row's weight is 1 / `set.batch_samples`, so that
  /// the draws of one sample share its 1/M. The views that the set then holds are valid until the
  /// next `forward` or `sample`. Does not wait. Throws `ArgumentError` before `sample`, for scores
  /// of other parameters or of another kind, `ShapeError` when `set.samples` is not N draws; the
  /// set is then as before.
  void add_sampled_to(LayerScores& scores, const RowSet& set) const;

  /// The number of calls of `sample` so far. Beside the parameters it is all that the next `sample`
  /// depends on: save it in a checkpoint. Waits.
  std::int64_t draw_counter() const;
  /// Sets the number of calls of `sample`, from 0 to 2^53. Does not wait. Throws `OptionError` for
  /// a number out of range.
  void set_draw_counter(std::int64_t counter);

  /// The bytes that a net of these options holds, weights included, once it has seen batches of
  /// `samples` rows and drawn `draws` labels for each (0: `sample` was never called). Throws
  /// `OptionError` for numbers below 0, for fewer than two sizes or one that is not > 0, and
  /// `MemoryError` for more bytes than an address can count.
  static std::int64_t bytes(const Options& options, std::int64_t samples, std::int64_t draws = 0);

  /// Writes the gradient of the mean log-likelihood over the rows of the last `backward`, as plain
  /// training computes it. `gradient`: P contiguous numbers of the net's type. Costs one matrix
  /// product a layer, 2 N P operations. Does not wait. Throws `ArgumentError` before `backward`,
  /// `ShapeError`, `TypeError` or `DeviceError` for an array that does not fit.
  void gradient(const View& gradient) const;

  /// Writes log p(y_n | x_n) of every row of the last `forward`, in nats: what `check_scores` asks
  /// for. `labels`: (N) int32, in [0, classes). `log_p`: (N) float64 on the context's device; NaN
  /// where a label is out of range. Does not wait. Throws `ArgumentError` before the first
  /// `forward` and for a `log_p` that overlaps an array of the net or the labels, `ShapeError`,
  /// `TypeError` or `DeviceError` for arrays that do not fit.
  void log_likelihood(const ConstView& labels, const View& log_p) const;

  /// Computes loss and accuracy over the rows of the last `forward`. `labels`: (N) int32, in [0,
  /// classes); the loss is NaN where one is out of range. Waits. Throws `ArgumentError` before the
  /// first `forward`, `ShapeError`, `TypeError` or `DeviceError` for labels that do not fit.
  Evaluation evaluate(const ConstView& labels);

  /// Writes the two sums that `evaluate` divides by N: of log p(y_n | x_n), in nats, and the number
  /// of rows whose largest output is the label. `labels`: (N) int32, in [0, classes). `sums`: (2)
  /// float64 on the context's device. Does not wait. Throws `ArgumentError` before the first
  /// `forward` and for `sums` that overlap an array of the net or the labels, `ShapeError`,
  /// `TypeError` or `DeviceError` for arrays that do not fit.
  void evaluate_to(const ConstView& labels, const View& sums) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace natgrad
