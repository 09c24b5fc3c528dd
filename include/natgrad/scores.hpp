#pragma once

#include "natgrad/array.hpp"
#include "natgrad/export.hpp"
#include "natgrad/parameters.hpp"
#include "natgrad/types.hpp"

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace natgrad {

namespace detail {
class ScoreSet;
}

/// Whether the mean of the rows is subtracted: centred rows are sqrt(w_n) (s_n - mean), the mean
/// weighted and over the whole batch. They serve coefficients that sum to zero (advantages, local
/// energies). All that is centred is computed in double, so that a mean 1000 times the spread takes
/// no digits from float rows.
enum class Centering : std::uint8_t {
  none,
  rows,  ///< F and g are of centred rows; coefficients act as c_n - mean c
  /// F is of centred rows, g of the rows as they are with c_n = 1: maximum likelihood, for which
  /// centred rows would give g = 0. For empirical rows without coefficients; goes with no other
  /// gradient, no SPRING and no L2.
  fisher_only,
};

/// Numbers, weights and coefficients of the N rows of one set. Row n of S is sqrt(w_n) s_n and
/// r_n = sqrt(w_n) c_n, so that F = S^T S = sum_n w_n s_n s_n^T and g = S^T r = sum_n w_n c_n s_n.
/// The library alone multiplies by sqrt(w_n), and never in the caller's arrays.
struct RowSet {
  std::int64_t samples = 0;  ///< N > 0, the samples of this set, each of `parts` rows
  /// M >= N, the samples of the whole batch that this set is a part of (a micro-batch, a device's
  /// share): w_n = 1/M unless weights are given. 0: this set is the whole batch.
  std::int64_t batch_samples = 0;
  /// w_n >= 0, (N, 1) of any leading dimension, float64 or of the parameters' type; they need not
  /// sum to 1. Not given: 1/M. A negative one makes its row, and the outcome, not finite
  /// (`Scores::check` names it). The row of a weight of 0 is left out whatever it holds, NaN too,
  /// but for the first row of centred rows in parameter space or of a diagonal, which the others
  /// are taken relative to.
  ConstView weights = {};
  /// The weight of all rows where none are given: w_n = `weight`. 1 makes F and g sums over the
  /// rows instead of means. Finite, >= 0; 0: 1/M. Not beside `weights`.
  double weight = 0;
  /// c_n, (N, 1) of any leading dimension, float64 or of the parameters' type. Not given: 1, which
  /// is maximum likelihood for empirical rows, and for rows of another kind the gradient of
  /// nothing: those need coefficients, or a gradient from elsewhere. Double is for coefficients
  /// whose mean is large beside their spread, such as local energies.
  ConstView coefficients = {};
  /// Every row is multiplied by this, not 0. If you hold the gradient of a *mean loss* with respect
  /// to each layer's output, pass -N: scores are derivatives of log p of one sample.
  double scale = 1;
  Centering centering = Centering::none;
  /// Rows of a sample, 1 or 2. 2 is for a complex log psi: rows 0 to N - 1 are its real parts, rows
  /// N to 2N - 1 its imaginary parts, sample by sample, and so are the 2N coefficients, so that F =
  /// Re(sum_n w_n o_n^* o_n^T) and g = Re(sum_n w_n o_n^* c_n) of complex rows o_n and coefficients
  /// c_n (stochastic reconfiguration with real parameters). Weights are of the N samples, as are
  /// M and 1/M. `Centering::rows` takes out of each part its own mean, a complex mean in all: of
  /// dense rows, of which the set then keeps a centred copy, and of a whole batch, for the mean of
  /// a part of one is not its own.
  std::int64_t parts = 1;
  Owner owner = {};  ///< of weights and coefficients, and of dense rows; see `Scores`
};

/// A gradient as P contiguous numbers of the parameters' type that point uphill in log-likelihood
/// once multiplied by `scale`: for the gradient of a loss pass -1.
struct Gradient {
  ConstView view;
  double scale = 1;
  Owner owner = {};  ///< of `view`, held until the work of the call that takes it has run
};

/// How a gradient that the caller's own code computed compares with S^T r of the rows. The sums
/// cannot tell on which side a factor or a sign is off, nor whether both are: `check_scores` can,
/// from log p.
struct ScoresCheck {
  double distance = 0;                 ///< |gradient - S^T r| / |S^T r|
  double factor = 0;                   ///< the f that makes |f gradient - S^T r| smallest
  double distance_scaled = 0;          ///< |f gradient - S^T r| / |S^T r|
  std::vector<std::string> uncovered;  ///< names of parameters that no row touches
  /// Whether they agree, and what a factor such as -N, N, -1 or 2 may mean on either side; where
  /// nothing can be compared, which operand (the gradient, weights, coefficients, a layer's input
  /// or output score) is zero or not finite, at which row.
  std::string text;
};

/// Per-sample scores s_n = grad_theta log p(x_n | theta) of one set of rows. Views given to a set
/// must stay valid, and their data unchanged, until the work of the step that uses them has run. Of
/// those that come with an `.owner` the set sees to that: it holds the owners until it is begun
/// anew, cleared or destroyed, and then until the work queued so far has run.
class NATGRAD_EXPORT Scores {
 public:
  virtual ~Scores();
  Scores(Scores&&) noexcept;
  Scores& operator=(Scores&&) noexcept;
  Scores(const Scores&) = delete;
  Scores& operator=(const Scores&) = delete;

  const Parameters& parameters() const;
  FisherKind kind() const;
  std::int64_t samples() const;        ///< N of the current set, 0 before the first `begin`
  std::int64_t batch_samples() const;  ///< M of the current set

  /// Forgets the set: `samples` is 0 then. Its owners are let go of once the work queued so far has
  /// run, so that a batch's tensors can be freed before those of the next are made. Does not wait.
  /// Throws `MemoryError` or `DeviceError`, with the set as it was.
  void clear();

  /// Writes g = S^T r, P contiguous numbers of the parameters' type, uphill in log-likelihood.
  /// Costs one matrix product a layer. Does not wait. Throws `ArgumentError` without rows, where
  /// `gradient` overlaps them, for centred rows that are a part of the batch, and for rows without
  /// coefficients that are centred or not empirical; `ShapeError`, `TypeError`, `DeviceError` where
  /// `gradient` does not fit; `MemoryError`.
  void gradient(const View& gradient) const;

  /// Compares S^T r with the gradient that the caller's own code computed, P contiguous numbers, or
  /// one view a segment in the order of `Parameters::add`. Meant for the first batch of a new
  /// program: it finds a sign or a factor that differs between the two, and layers that were left
  /// out. Costs one `gradient` and a few vectors of P numbers. Waits. Throws what `gradient`
  /// throws.
  ScoresCheck check(const ConstView& gradient) const;
  ScoresCheck check(std::span<const ConstView> gradient) const;

  /// For the library itself.
  const detail::ScoreSet& rows() const { return *rows_; }

 protected:
  Scores(Parameters parameters, FisherKind kind);
  detail::ScoreSet& mutable_rows() { return *rows_; }

 private:
  std::unique_ptr<detail::ScoreSet> rows_;
};

/// Rows that the caller has as an (N, P) array, columns in the order of `Parameters::add`.
class NATGRAD_EXPORT DenseScores : public Scores {
 public:
  struct Options {
    FisherKind kind = FisherKind::empirical;  ///< what the rows are
  };
  /// Throws `OptionError` for a kind that is no enumerator.
  explicit DenseScores(Parameters parameters);
  DenseScores(Parameters parameters, Options options);

  /// Takes `rows` (N `set.parts`, P), leading dimension >= P, of the parameters' type, as the
  /// current set; `set.samples` may stay 0. Copies none of them, unless they are parts to centre.
  /// Does not wait. Throws `ShapeError`, `TypeError`, `DeviceError`, `OptionError` or `MemoryError`
  /// and keeps the set as it was.
  void begin(const ConstView& rows, RowSet set = {});
};

/// Which terms of a row have a bias, an input of 1 (see `LayerScores::Layer::terms`).
enum class Bias : std::uint8_t {
  every_term,  ///< weight sharing: convolution, recurrence, attention
  first_term,  ///< a value and its derivatives, of which only the value has a bias
};

/// Rows [first, first + count) of a set; count 0: all from `first` on.
struct RowRange {
  std::int64_t first = 0;
  std::int64_t count = 0;
};

/// Rows of a layered model, of which only the factors exist. For a layer z = W a + b the score of W
/// is the outer product of the derivative of log p with respect to z and the input a; where one
/// weight is used T times a row, it is the sum of T such products. Gram matrix, S v and S^T y
/// follow from the two factors at the cost of ordinary matrix products.
class NATGRAD_EXPORT LayerScores : public Scores {
 public:
  struct Options {
    FisherKind kind = FisherKind::empirical;  ///< what the rows are
  };
  /// One use of a weight in n rows of the set: all N, or those of `rows`.
  struct Layer {
    Segment weight = {};  ///< W (d_out, d_in); none: the score of `bias` is `output_score` itself
    Segment bias = {};    ///< b (d_out); none: the layer has no bias
    /// A (n / rows_per_input T, d_in); none without a weight. Or, of an embedding z = W[i], the
    /// int32 indices i (n / rows_per_input T) of rows of `weight`, which is then (words, d_out) and
    /// has no bias: what one-hot inputs would give, without them. An index outside of the weight
    /// makes its row `not_finite`, and reads nothing.
    ConstView input = {};
    /// D (n T, d_out): d log p(x_n) / d z of one sample, positive, no 1/N. Of rows with fewer terms
    /// the rest is 0 (and their input finite).
    ConstView output_score = {};
    /// T > 0: positions of a convolution, steps of a recurrent net, a value and its derivatives.
    /// The terms of a row are adjacent. Sets that are parts of one batch may have other T.
    std::int64_t terms = 1;
    Bias bias_terms = Bias::every_term;
    RowRange rows = {};  ///< the rows of the set that have this use
    /// > 0, divides n: so many adjacent rows share an input (labels drawn for one sample).
    std::int64_t rows_per_input = 1;
    Owner owner = {};  ///< of `input` and `output_score`; see `Scores`
  };
  /// Throws `OptionError` for a kind that is no enumerator.
  explicit LayerScores(Parameters parameters);
  LayerScores(Parameters parameters, Options options);

  /// Starts a new set without layers. Does not wait. Throws `OptionError` for numbers out of range,
  /// `ShapeError`, `TypeError` or `DeviceError` for weights or coefficients that do not fit,
  /// `MemoryError`; the set stays as it was then.
  void begin(const RowSet& set);

  /// Adds one use of a layer to the set. Adds that name the same weight, or the same bias, share
  /// it: their uses are summed, products between them included. Their rows are the same or apart.
  /// Parameters that no add names have a score of zero; a row that no add covers is an error of the
  /// step (`ArgumentError`). Copies no factor and does not wait. Throws `ArgumentError` when
  /// nothing has begun, a segment is missing or unknown, or shared rows overlap in part;
  /// `OptionError` for numbers and enumerators out of range; `ShapeError`, `TypeError`,
  /// `DeviceError` when a view does not fit; `MemoryError`. Nothing is added then.
  void add(const Layer& layer);
};

}  // namespace natgrad
