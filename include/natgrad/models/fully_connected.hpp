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

/// A fully connected net whose outputs are those of a likelihood, p(y | x, theta) = p(y | z_L), z_l
/// = W_l a_{l-1} + b_l, a_l = activation(z_l), a_0 = x. Without hidden layers it is a generalized
/// linear model. It has its weights, the parameters theta, in arrays on the context's device, and
/// serves as the sample model of the library. N: rows (samples) of a batch, P: parameters, C:
/// outputs, K: targets of a sample.
///
/// `targets` are (N, K) on the context's device, contiguous: int32 (N, 1) for `categorical`, else
/// of the net's type, with K = C, or K = C / 2 for `gaussian_scale`. One outside the support of
/// the likelihood makes what is computed at it NaN, and the outcome of a step `not_finite`.
class NATGRAD_EXPORT FullyConnected {
 public:
  struct Options {
    /// Inputs, hidden widths, outputs C; at least two, all > 0, C even for `gaussian_scale`.
    std::vector<std::int64_t> sizes;
    Likelihood likelihood = Likelihood::categorical;
    double sigma = 1;  ///< standard deviation of `Likelihood::gaussian`; finite, > 0
    Activation activation = Activation::tanh;
    ElementType type = ElementType::float32;  ///< float32 or float64
    /// Key of the initial weights: uniform in +-gain sqrt(3 / d_in), gain sqrt(2) for relu and
    /// gelu, 1 for the others; biases 0. The same numbers on every machine and backend.
    std::uint64_t seed = 0;
    /// Key of the targets that `sample` draws; default: `seed`, whose weights are other numbers.
    std::optional<std::uint64_t> sampling_key = {};
    /// Products of float may take NVIDIA's TF32 where a GPU has it: of factors with eleven
    /// significant bits.
    bool allow_tf32 = false;
  };

  /// Means over the batch that `forward` was last given.
  struct Evaluation {
    double loss = 0;  ///< mean of -log p(y_n | x_n), in nats
    /// Of `categorical` the share of rows whose largest output is the label, of `bernoulli` the
    /// share of targets on the same side of 1/2 as p(1); NaN for the others.
    double accuracy = 0;
    /// Mean over samples and targets of (y - mean of y)^2; NaN for `categorical` and `bernoulli`.
    double squared_error = 0;
  };

  /// Makes a net with drawn weights. Waits. Throws `OptionError` for sizes that are too few, not >
  /// 0 or not the likelihood's, a sigma that is not finite or not > 0, an activation or likelihood
  /// that is none and a type that is no float, `MemoryError` where there is no room for the
  /// weights.
  FullyConnected(const Context& context, Options options);
  ~FullyConnected();
  FullyConnected(FullyConnected&&) noexcept;
  FullyConnected& operator=(FullyConnected&&) noexcept;
  FullyConnected(const FullyConnected&) = delete;
  FullyConnected& operator=(const FullyConnected&) = delete;

  /// The weight (d_out, d_in) and the bias (d_out) of every layer, first layer first: the last
  /// tensor is the bias of the outputs, which a caller may start elsewhere than at 0
  /// (`Context::write`), such as at the link of the targets' mean.
  const Parameters& parameters() const;
  const Options& options() const;

  /// Computes the outputs of `inputs` (N, sizes.front()), which must stay unchanged until the step
  /// that uses them has run. 2 N P operations. Allocates when N is larger than ever before. Does
  /// not wait. Throws `ShapeError`, `TypeError`, `DeviceError` or `ArgumentError` for inputs that
  /// do not fit, and keeps the batch before; `ArgumentError` for inputs that are outputs of this
  /// net and `MemoryError` without room, and has then no batch.
  void forward(const ConstView& inputs);

  /// The outputs z_L, (N, C), of the last `forward`, valid until the next: what the likelihood is
  /// given, such as log-odds or a mean. Throws `ArgumentError` before `forward`.
  ConstView outputs() const;

  /// Computes the scores of log p(y_n | x_n) at `targets` with respect to every layer's output, of
  /// the last `forward`. 2 N P operations less those of the first layer. Does not wait. Throws
  /// `ArgumentError` before `forward` and for targets that are missing, `ShapeError`, `TypeError`
  /// or `DeviceError` for targets of another shape, type or place.
  void backward(const ConstView& targets);

  /// Begins a set with the rows of `backward` and adds every layer to it; `set.samples` is N. The
  /// set's views are valid until the next `forward` or `backward`. Does not wait. Throws
  /// `ArgumentError` before `backward` or for scores of other parameters, `ShapeError` when
  /// `set.samples` is not N; the set stays as it was.
  void add_to(LayerScores& scores, const RowSet& set) const;

  /// Draws targets from the model, `draws` for each row of the last `forward`, and computes the
  /// scores of log p at them with respect to every layer's output: rows whose S^T S has the Fisher
  /// matrix as its expectation, and whose mean is no gradient of anything. Target i of draw k of
  /// row n is that of p(. | z_n) at a uniform number that follows from the key of the options, the
  /// number of calls before (modulo 2^32) and (n draws + k) K + i alone: that number is the same on
  /// every machine and backend, and another in every call. Outputs that are not finite give a row
  /// of NaN and the outcome `not_finite`. What `backward` computed is not touched. Costs `draws`
  /// times what `backward` does, and arrays for the scores of N draws rows, allocated when there
  /// are more than ever before. Does not wait. Throws `ArgumentError` before `forward`,
  /// `OptionError` for draws < 1 or N draws beyond 64 bits, `MemoryError` without room. Kunstner,
  /// Balles, Hennig 2019, "Limitations of the empirical Fisher approximation for natural gradient
  /// descent".
  void sample(std::int64_t draws = 1);

  /// The targets that `sample` drew, (N draws, K), order row, draw; valid until the next `forward`
  /// or `sample`. Throws `ArgumentError` before `sample`.
  ConstView sampled_targets() const;

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

  /// Computes the exact Fisher rows of the last `forward`, C of each sample n: the rows of
  /// F_out^(1/2) J_n, J_n = dz_n / dtheta, whose S^T S is the Fisher matrix itself, without labels
  /// and draws; and their coefficients r_n = F_out^(-1/2) (dlog p(y_n | z_n) / dz_n) at `targets`,
  /// so that S^T r is the gradient of the mean log-likelihood and push-through applies. Where an
  /// output is saturated against its target (a probability of 0 or 1, a rate of 0) both take its
  /// variance as the rounding of the net's type, times the score where that is below 1, so that
  /// nothing is divided by 0 and S^T r stays the gradient; a Gaussian's variance is taken as it is.
  /// Where a Bernoulli or Poisson output agrees with its target to all digits of the net's type
  /// (variance and score both below its eps) both are 0, so that separable data, whose outputs grow
  /// without end, end an undamped run as `not_positive_definite`.
  /// What `backward` and `sample` computed is not touched. Costs C times what `backward` does, and
  /// arrays for the scores of N C rows, allocated when there are more than ever before. Does not
  /// wait. Throws what `backward` throws, and `MemoryError` without room, where `sample` takes a
  /// C-th. Martens 2020, "New insights and perspectives on the natural gradient method",
  /// section 9.2.
  void compute_exact(const ConstView& targets);

  /// Begins a set with the rows of `compute_exact` and adds every layer to it; scores of
  /// `FisherKind::exact`. `set.samples`, `.batch_samples`, `.weights` and `.weight` speak of
  /// samples: N of this set, M of the whole batch and a weight (N, or one of all), all of which the
  /// C rows of a sample have (each 1/M by default); the set that begins has N C rows of M C.
  /// `set.coefficients` c_n (N), such as advantages, multiply r; not given: 1. The rows are a root
  /// of F and not scores, so that there is nothing to centre and no loss to take the scale of:
  /// `.centering` and `.scale` stay as they are. The set's views are valid until the next
  /// `forward`, `compute_exact` or `add_exact_to`. With `Batch{.fisher = exact, .gradient = data}`
  /// r is not used and nothing is divided by a variance. Does not wait. Throws `ArgumentError`
  /// before `compute_exact`, for scores of other parameters and for scores that are not
  /// `FisherKind::exact`, `ShapeError` when `set.samples` is not N or its vectors are not (N, 1),
  /// `OptionError` for centred rows, a scale other than 1 and numbers out of range; the set stays
  /// as it was.
  void add_exact_to(LayerScores& scores, const RowSet& set);

  /// How many times targets were drawn: with the parameters all that the next `sample` depends on,
  /// for a checkpoint of the caller's. Waits.
  std::int64_t draw_counter() const;
  /// Sets it. Does not wait. Throws `OptionError` outside of [0, 2^53].
  void set_draw_counter(std::int64_t counter);

  /// What a net has been asked for, of batches of `samples` rows.
  struct Uses {
    std::int64_t samples = 0;
    std::int64_t draws = 0;      ///< targets that `sample` drew for each row; 0: it was not called
    bool exact = false;          ///< `compute_exact` and `add_exact_to` were called
    bool keeps_outputs = false;  ///< `keep_outputs` was called
  };
  /// Bytes that a net of these options holds, weights included, once it has been used so. Throws
  /// `OptionError` for numbers below 0 and for options that the constructor refuses, `MemoryError`
  /// for more bytes than an address can count.
  static std::int64_t bytes(const Options& options, const Uses& uses);
  static std::int64_t bytes(const Options& options, std::int64_t samples, std::int64_t draws = 0);

  /// Computes the gradient of the mean log-likelihood over the batch, P contiguous numbers in the
  /// order of `parameters()`, as plain training computes it: one matrix product a layer, 2 N P
  /// operations. Does not wait. Throws `ArgumentError` before `backward` and for a result that
  /// overlaps an array of the net, `ShapeError`, `TypeError` or `DeviceError` for one of another
  /// size, type or place.
  void gradient(const View& gradient) const;

  /// Writes log p(y_n | x_n) of every row of the last `forward` at `targets`, in nats: `log_p` is
  /// float64 (N) on the context's device. What `check_scores` asks for. Costs N C exponentials.
  /// Does not wait. Throws `ArgumentError` before `forward` and for a `log_p` that overlaps an
  /// array of the net or the targets, `ShapeError`, `TypeError` or `DeviceError` for targets or a
  /// result that do not fit.
  void log_likelihood(const ConstView& targets, const View& log_p) const;

  /// Loss and figure of the last `forward` at `targets`. Costs N C exponentials. Waits. Throws
  /// `ArgumentError` before `forward`, `ShapeError`, `TypeError` or `DeviceError` for targets that
  /// do not fit.
  Evaluation evaluate(const ConstView& targets);

  /// What `evaluate` is made from, without waiting: writes the sum over the rows of log p(y_n |
  /// x_n), in nats, and of the figure that the likelihood has (`Evaluation`: accuracy or squared
  /// error). `sums` is float64 (2) on the context's device. Costs N C exponentials. Throws
  /// `ArgumentError` before `forward` and for `sums` that overlap an array of the net or the
  /// targets, `ShapeError`, `TypeError` or `DeviceError` for targets or a result that do not fit.
  void evaluate_to(const ConstView& targets, const View& sums) const;

  /// Writes the loss of the last `forward` at `targets`, the mean of -log p(y_n | x_n) in nats or,
  /// with `weights` w (N, 1) float64, sum_n w_n (-log p(y_n | x_n)): `loss` is a one-element
  /// float64 on the context's device. For a loss callable of a step, after `forward` at the
  /// parameters on trial. Costs N C exponentials; does not wait and allocates nothing. Throws what
  /// `evaluate_to` throws, and the same for weights that do not fit or are not contiguous.
  void loss_to(const ConstView& targets, const View& loss, const ConstView& weights = {}) const;

  /// Keeps a copy of the outputs of the last `forward`, for `kl_to` to compare with later ones.
  /// Allocates when there are more than ever before. Does not wait. Throws `ArgumentError` before
  /// `forward`, `MemoryError` without room.
  void keep_outputs();

  /// Writes the mean KL divergence KL(p(. | z_kept) || p(. | z_now)) in nats between the outputs
  /// that `keep_outputs` kept and those of the last `forward`, which was given the same inputs; or
  /// with `weights` w (N, 1) float64 sum_n w_n KL_n. `kl` is a one-element float64 on the context's
  /// device. For a KL callable of a step, after `forward` at the parameters on trial. Costs N C
  /// exponentials; does not wait and allocates nothing. Throws `ArgumentError` before `forward` and
  /// `keep_outputs` and for a `kl` that overlaps an array of the net or the weights, `ShapeError`
  /// where other numbers of rows were kept, and `ShapeError`, `TypeError` or `DeviceError` for a
  /// result or weights that do not fit.
  void kl_to(const View& kl, const ConstView& weights = {}) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace natgrad
