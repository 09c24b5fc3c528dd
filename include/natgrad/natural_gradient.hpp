#pragma once

#include "natgrad/damping.hpp"
#include "natgrad/export.hpp"
#include "natgrad/fisher_matrix.hpp"
#include "natgrad/memory_plan.hpp"
#include "natgrad/parameters.hpp"
#include "natgrad/scores.hpp"
#include "natgrad/structure.hpp"
#include "natgrad/types.hpp"

#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <variant>
#include <vector>

namespace natgrad {

namespace detail {
struct OptimizerAccess;
}

/// theta += rate * direction.
struct FixedRate {
  double rate = 0.3;  ///< finite, > 0
};

/// The longest step whose predicted KL divergence, 1/2 rate^2 d^T F d, is `radius`: rate = sqrt(2
/// radius / d^T F d), at most `max_rate` (Amari 1998; Peters, Schaal 2008). Where d is small
/// directions of F, a small predicted KL allows a long step: see `Options::max_norm`.
///
/// With `trials` > 0 the step is held to what it predicts: the rate is multiplied by `shrink` until
/// the batch's loss does not grow and the actual KL divergence is at most the radius, up to a
/// thousandth of it, because the first rate makes it the radius itself where it is quadratic
/// (Schulman, Levine, Abbeel, Jordan, Moritz 2015, "Trust region policy optimization", appendix C);
/// after that many trials the step is rejected. Needs `Batch::loss` and `Batch::kl`.
struct KlTrustRegion {
  double radius = 1e-2;  ///< nats a sample; finite, > 0
  double max_rate = 1;   ///< finite, > 0
  /// The empirical matrix is not the Fisher, and d^T F d of maximum likelihood is about 1 whatever
  /// the model: such rows are refused (`ArgumentError`) unless this is set.
  bool allow_empirical = false;
  int trials = 0;       ///< attempts a step; 0: none is measured; 0 to 64
  double shrink = 0.5;  ///< of the rate from trial to trial; 0 < shrink < 1
};

/// The first of the rates `rate`, rate shrink, rate shrink^2, ... at which the loss of the step's
/// own batch falls by at least `sufficient_decrease` of what its slope promises (Armijo 1966):
///
///     L(theta + s) <= L(theta) - sufficient_decrease rate (g - eta theta)^T v,  s = rate v,
///
/// g uphill in log-likelihood, eta of `Options::l2`, v the direction with momentum and weight
/// decay; it never grows, whatever the slope. Both up to 8 units in the last place of L in the type
/// of the parameters, in float 1e-6 |L|: the loss at float outputs is not better known. Where no
/// trial does, the step is rejected. Needs `Batch::loss`, which is called once and once a trial,
/// however early one passes, so that nothing is read back; and, unless `sufficient_decrease` is 0,
/// one product with the rows. Any kind of rows will do.
struct Backtracking {
  double rate = 1;                    ///< of the first trial; finite, > 0
  double shrink = 0.5;                ///< 0 < shrink < 1
  int trials = 8;                     ///< attempts a step; 1 to 64
  double sufficient_decrease = 1e-4;  ///< 0 <= it < 1
};

/// Rate and momentum chosen together (Martens, Grosse 2015, "Optimizing neural networks with
/// Kronecker-factored approximate curvature", section 7): s = alpha d + mu s_prev, s_prev the last
/// step that was taken, with the alpha and mu that minimize the quadratic model
///
///     1/2 s^T (F + (lambda + eta) I) s - (g - eta theta)^T s,
///
/// F the whole matrix of the rows, whichever structure d was solved in. Where d solves the whole
/// matrix, that is alpha = 1 and mu = 0: the rule serves `Structure::block_diagonal` and
/// `diagonal`, and rate factors. Where d and s_prev are parallel, or there is no s_prev, along d
/// alone. It is the momentum of the step: takes `NoMomentum` beside it, and damping and penalty in
/// one unit. Two products with the rows, or with rows of a gradient four; keeps the last step, P
/// numbers, as momentum. Batches in one call.
struct QuadraticModel {
  double rate = 1;  ///< factor of the model's step; finite, > 0
  /// The empirical matrix is not the Hessian of the loss: such rows are refused (`ArgumentError`)
  /// unless this is set.
  bool allow_empirical = false;
};

/// Least squares along a parabola (Transtrum, Sethna 2012, "Improvements to the Levenberg-Marquardt
/// algorithm for nonlinear least-squares minimization", geodesic acceleration): with rows of kind
/// `residual`, S the Jacobian of the weighted residuals R_n = sqrt(w_n) r_n and the loss |R|^2 / 2,
///
///     theta + a d + a^2/2 c,   c = -(S^T S + lambda D)^-1 S^T k,
///     k = 2/h ((R(theta + h d) - R) / h - S d),
///
/// c from the same factorization as d, and k, the second derivative of R along d, from one
/// evaluation at h = `probe` times the last a. The rate a is the best of min(max_rate, growth times
/// the last a), then `shrink` times it, and so on, until the loss stops falling; where none of them
/// makes it fall the step is rejected. Where k or c is not finite, c = 0. Pairs with
/// `StepLengthDamping`.
///
/// Needs `Batch::residuals`, which is called once and once a trial; rows whose coefficients are
/// -r_n, not centred, and no other gradient; batches in one call; `Structure::full`, `NoMomentum`,
/// neither `.l2`, `.weight_decay` nor rate factors but 0. On a GPU all trials are enqueued and
/// those behind the last one do not move; on the CPU they are left out. Two products with the rows
/// beside the solve.
struct GeodesicAcceleration {
  double max_rate = 1;       ///< finite, > 0
  double first_rate = 0.25;  ///< the last a of the first step and after a rejected one; finite, > 0
  double growth = 4;         ///< finite, >= 1
  double shrink = 0.5;       ///< of the rate from trial to trial; 0 < shrink < 1
  int trials = 20;           ///< attempts a step; 1 to 64
  double probe = 0.2;        ///< share of the last a; finite, > 0
};

/// No momentum: the direction is d = (S^T S + lambda I)^-1 g.
struct NoMomentum {};

/// v = decay v + d, and v is the direction (Polyak 1964).
struct HeavyBall {
  double decay = 0.9;  ///< 0 <= decay < 1
};

/// (F + lambda I) (d - decay d_prev) = g - decay F d_prev: momentum that only fills what the
/// present batch leaves open (Goldshlager, Abrahamsen, Lin 2024, "A Kaczmarz-inspired approach to
/// accelerate the optimization of neural network wavefunctions", eq. 25).
struct Spring {
  double decay = 0.9;  ///< 0 <= decay < 1
};

enum class RateDecay : std::uint8_t { none, linear, cosine };

/// The rate falls to 0 over `steps` accepted steps, and stays there. With s = k / steps after k of
/// them it is multiplied by 1 - s (linear) or by 1/2 + cos(pi s) / 2 (cosine).
struct RateSchedule {
  RateDecay decay = RateDecay::none;
  std::int64_t steps = 0;  ///< > 0 where there is a decay
};

/// A factor of one tensor.
struct SegmentFactor {
  Segment segment;
  double factor = 1;  ///< finite, >= 0
};

using StepRule =
    std::variant<FixedRate, KlTrustRegion, Backtracking, QuadraticModel, GeodesicAcceleration>;
using Momentum = std::variant<NoMomentum, HeavyBall, Spring>;

/// Where a batch's gradient comes from: the rows of the Fisher matrix themselves (g = S^T r), other
/// rows, or P numbers.
class GradientSource {
 public:
  GradientSource() = default;
  // NOLINTNEXTLINE(google-explicit-constructor)
  GradientSource(const Scores& rows) : rows_(&rows) {}
  // NOLINTNEXTLINE(google-explicit-constructor)
  GradientSource(const Gradient& numbers) : numbers_(numbers) {}
  const Scores* rows() const { return rows_; }
  const std::optional<Gradient>& numbers() const { return numbers_; }
  bool given() const { return rows_ != nullptr || numbers_.has_value(); }

 private:
  const Scores* rows_ = nullptr;
  std::optional<Gradient> numbers_;
};

/// A number, or numbers, that the caller's program measures for a step rule: enqueues work on the
/// context's stream that writes it to `result`, a one-element float64 view on the context's device.
/// It is called within `step`, on the parameters as they then stand in their tensors, and must
/// neither change them nor call the optimizer; the context's other functions are free to use. What
/// it throws comes out of `step`, and parameters and optimizer are as before that call. Work that
/// does not wait keeps a step free of waiting, and lets it be captured in a CUDA graph.
using BatchFunction = std::function<void(const View& result)>;

/// What one step is taken from. Rows of labels drawn from the model need a gradient of the data.
struct Batch {
  const Scores& fisher;
  GradientSource gradient = {};
  /// The loss of this batch whose negative gradient is g, without `.l2`, which the library adds.
  /// The mean of -log p where coefficients and weights are not set. The model's own buffers may be
  /// used for it, those that the rows view too: the rows are read before it is called. Rules that
  /// compare losses need it (`OptionError`); others do not call it.
  BatchFunction loss = {};
  /// The KL divergence, nats a sample, from the distribution at the parameters before the step to
  /// that at the parameters now. What it needs of those before, say the outputs, is kept by the
  /// caller before the step.
  BatchFunction kl = {};
  /// The residuals r_n of least squares at the parameters as they stand, in the order of the rows
  /// and without their weights: its `result` is (N, 1), not one number. What the rows view must
  /// stay as it is, because products with them follow.
  BatchFunction residuals = {};
};

/// What one step did. All numbers are of the step as tried, also where it was not taken.
struct StepReport {
  std::int64_t step = 0;  ///< counts attempts, from 1
  Outcome outcome = Outcome::accepted;
  NotFinite not_finite = NotFinite::nothing;  ///< the operand, of that outcome
  Structure structure = Structure::full;
  /// The system that was solved; `automatic` where the blocks of a matrix differ.
  Form form = Form::dual;
  double rate = 0;     ///< as used
  double damping = 0;  ///< lambda as used
  /// d^T F d of the direction d (of v with momentum, with the rate factors), before the rate. Under
  /// `QuadraticModel` v is model_rate d + momentum s_prev, and F the whole matrix.
  double quadratic_form = 0;
  /// 1/2 rate^2 d^T F d, the KL divergence that the step predicts; only for sampled and exact rows,
  /// because the empirical matrix is not the Fisher.
  std::optional<double> predicted_kl;
  /// |b - (A + lambda I) x| / |b| of the system solved; of blocks the largest. Of a singular system
  /// whose refinement leaves all numbers, that of the unrefined x; infinite where x is not finite.
  double residual = 0;
  /// Relative error of d: of an unrefined solve an estimate, refined a bound (docs/accuracy.md). At
  /// damping 0 inverse iteration tells it; infinite there for refined solves.
  double error_bound = 0;
  std::int64_t failures_in_a_row = 0;
  /// Trials of a rule that compares losses, up to the one that passed, or all. 0 without such, and
  /// where none could be tried: the solve failed, or the loss before the step is not finite. `rate`
  /// is then the first that would have been.
  std::int64_t trials = 0;
  /// Of the batch with `.l2`, by such a rule: at the parameters before the step, and at those that
  /// were tried last. NaN where it is not finite or nothing could be tried.
  std::optional<double> loss_before = {};
  std::optional<double> loss_after = {};
  /// By a rule that measures it: the KL divergence at the parameters that were tried last.
  std::optional<double> actual_kl = {};
  /// Of the last trial: what the loss fell by, as a share of what the quadratic model without
  /// lambda predicted (see `LevenbergMarquardt`); where the slope or the model was asked for.
  std::optional<double> reduction_ratio = {};
  /// What `QuadraticModel` chose: the step is rate (model_rate d + momentum s_prev).
  std::optional<double> model_rate = {};
  std::optional<double> momentum = {};
};

/// The update loop: hands the scores of a batch to a damped exact solve and moves the parameters.
class NATGRAD_EXPORT NaturalGradient {
 public:
  struct Options {
    Damping damping = {};
    StepRule step = FixedRate{};
    RateSchedule schedule = {};  ///< of the rate, or of the largest rate
    /// The step, rate times direction, is no longer than this. > 0.
    double max_norm = std::numeric_limits<double>::infinity();
    Momentum momentum = Spring{};
    /// theta shrinks by rate * weight_decay a step, outside F and g. Finite, >= 0; rate * it <= 1.
    double weight_decay = 0;
    /// eta of a penalty eta/2 |theta|^2 in the loss: eta joins lambda in the matrix, -eta theta
    /// joins g. Finite, >= 0.
    double l2 = 0;
    /// Factors of eta, for segments named here; 1 for the others, 0 for one without penalty (an
    /// intercept). With factors, or with a scaled damping, eta joins a diagonal in the primal form;
    /// in the dual form that takes `.damping` of an absolute part alone, > 0 (`OptionError`).
    std::vector<SegmentFactor> l2_factors = {};
    /// Of the final step, for segments named here; 1 for the others. 0 freezes a tensor: its
    /// columns leave S, K, P and every norm, and it does not decay.
    std::vector<SegmentFactor> rate_factors = {};
    std::vector<SegmentFactor> weight_decay_factors = {};
    /// Which part of F a solve takes. `block_diagonal` solves each group separately, in the form
    /// that is cheaper for it, with relative damping in units of that group's trace; `diagonal`
    /// costs N P operations and P doubles. With both, `quadratic_form` is that of the
    /// approximation, and `predicted_kl` and KlTrustRegion, which speak of F itself, are not there.
    Structure structure = Structure::full;
    /// Block diagonal: groups that together name every segment once, frozen ones too. Empty: each
    /// layer's weight and bias, as the uses of a batch name them (in parts: those of its first
    /// part); tied weights and what is shared between layers belong together, and each tensor of
    /// dense rows is a group.
    ParameterGroups groups = {};
    /// Automatic: see `FisherMatrix`; the rows of a step are never kept.
    Form form = Form::automatic;
    std::optional<ElementType> gram_type = {};  ///< see `FisherMatrix::Options`
    int refinement = 0;                         ///< see `FisherMatrix::Options`
    bool allow_tf32 = false;                    ///< see `FisherMatrix::Options`
    /// Bytes, > 0: a batch whose plan is larger is refused (`MemoryError`) before anything is
    /// allocated for it. None: no limit.
    std::optional<std::int64_t> memory_budget = {};
  };

  explicit NaturalGradient(Parameters parameters);
  /// Throws `OptionError` naming every option that is wrong, `ArgumentError` for factors of a
  /// segment that does not exist or is named twice, or without parameters.
  NaturalGradient(Parameters parameters, Options options);
  ~NaturalGradient();
  NaturalGradient(NaturalGradient&&) noexcept;
  NaturalGradient& operator=(NaturalGradient&&) noexcept;
  NaturalGradient(const NaturalGradient&) = delete;
  NaturalGradient& operator=(const NaturalGradient&) = delete;

  /// Moves the parameters by one step. Transactional: on any outcome but `accepted`, parameters and
  /// momentum are exactly as before. Does not wait, and allocates nothing when the batch is no
  /// larger than the largest so far and takes the same form (`Form::automatic` may take another one
  /// for fewer rows, and for other damping). Costs, dual form and T = 1: N^2 sum(d_in + d_out) +
  /// N^3 / 3 operations and one pass over the layers beside the caller's forward and backward; a
  /// gradient that is given, SPRING, L2 and heavy ball one pass more each. Throws
  /// `ArgumentError` when the scores are of other parameters, hold no rows or only part of the
  /// batch, give no gradient, or the parameters have grown since the first step; `ShapeError`,
  /// `TypeError`, `DeviceError` for a gradient that does not fit; `MemoryError` without room; and
  /// `StepFailed` once ten attempts in a row are known to have failed: on the CPU from the tenth
  /// call, on a GPU from the first call that finds the tenth report there. The attempt was made,
  /// and the next call tries again.
  void step(const Batch& batch);
  void step(const Scores& scores);

  /// Adds a part of a batch, whose sets state the whole with `.batch_samples`. Parts may differ in
  /// size; gradients that are given (`Gradient`, other rows) are added up. Dual form: keeps a copy
  /// of the rows' factors, N sum(T (d_in + d_out)) numbers; primal: adds to F, whose memory does
  /// not depend on N. Does not wait. Step rules and damping that compare losses or need products
  /// with the rows (`KlTrustRegion` with trials, `Backtracking`, `QuadraticModel`,
  /// `GeodesicAcceleration`, `LevenbergMarquardt`) take a batch in one call: `ArgumentError`.
  /// Throws like `step`, and when the part differs from those before in kind, centring or source of
  /// the gradient; nothing was added then. A driver that fails half way
  /// (`DeviceError`) drops all that was accumulated.
  void accumulate(const Batch& batch);
  void accumulate(const Scores& scores);
  /// The step of what was accumulated, the whole batch (`ArgumentError` before it is whole).
  void step();
  /// Forgets what was accumulated.
  void discard();

  /// Writes the direction d of this batch, P contiguous numbers of the parameters' type, without
  /// momentum and rate; frozen tensors get 0. Changes no state. `direction` stays as it was on any
  /// outcome but `accepted`. Does not wait; costs and throws like `step`, but for `StepFailed`.
  /// With frozen tensors it takes scratch of P numbers that `plan` does not count. Calls no
  /// `BatchFunction`.
  void direction(const Batch& batch, const View& direction);
  void direction(const Scores& scores, const View& direction);
  /// How the last `direction` went. Waits. Throws `ArgumentError` before the first.
  SolveReport direction_report() const;

  /// Takes a step and hands it out instead of moving the parameters, for those with a rule of their
  /// own (clipping, another optimizer behind): writes rate times v, v the direction with momentum
  /// and rate factors, P contiguous numbers of the parameters' type that `step` would have added;
  /// 0 for frozen tensors. Weight decay is left to the caller. Unlike `direction`, it counts as the
  /// step: momentum, schedule, damping and reports go on as if the parameters had moved, and on any
  /// outcome but `accepted` momentum and `step` stay as they were. With `FixedRate{1}` and no
  /// schedule it is v itself. Does not wait; costs and throws like `step`, and takes P numbers of
  /// scratch more, which `plan` does not count. Throws `ArgumentError` also under rules and damping
  /// that try parameters (`KlTrustRegion` with trials, `Backtracking`, `GeodesicAcceleration`,
  /// `LevenbergMarquardt`), and `ShapeError`, `TypeError`, `DeviceError` where `step` does not fit.
  void propose(const Batch& batch, const View& step);
  void propose(const Scores& scores, const View& step);
  /// The same of what was accumulated, the whole batch.
  void propose(const View& step);

  /// Change the rate (the largest rate of `KlTrustRegion` and `GeodesicAcceleration`) or lambda
  /// from the next step on. Do not wait. Throw `OptionError` for a value that the options would not
  /// take, and for another `Damping::scaling` than theirs.
  void set_rate(double rate);
  void set_damping(const Damping& damping);

  /// Replace `.rate_factors` or `.weight_decay_factors` from the next step on; tensors that are not
  /// named get 1. Momentum stays: that of a tensor that is frozen is dropped, and that of one that
  /// is unfrozen begins at 0. Do not wait; freezing or unfreezing allocates momentum anew, as the
  /// first step does. A CUDA graph keeps the factors that it was captured with. Throw `OptionError`
  /// for factors that the options would not take, `ArgumentError` for a segment that does not exist
  /// or is named twice, when all tensors are frozen, and when others are frozen than before while
  /// parts of a batch are accumulated; `MemoryError`. Nothing has changed then.
  void set_rate_factors(std::vector<SegmentFactor> factors);
  void set_weight_decay_factors(std::vector<SegmentFactor> factors);

  /// The memory of a step of such a batch, to the byte, and its form: what this optimizer, the
  /// context's scratch and the scores' own arrays will hold. With frozen tensors, for which a shape
  /// has no names, the second one is exact. Of row ranges in parts a scaled damping or
  /// a penalty by tensor takes more than planned in the dual form. Throws `OptionError` for a shape
  /// that is none, `MemoryError` for more bytes than an address can count, and like `step` for a
  /// batch.
  MemoryPlan plan(const ScoresShape& shape) const;
  MemoryPlan plan(const Batch& batch) const;
  /// Allocates all of it but the scores' own arrays, so that no step of this shape does. Throws
  /// `MemoryError` naming plan, budget and the way out, and `ArgumentError` for a batch that comes
  /// in parts while parts of another are accumulated.
  void reserve(const MemoryPlan& plan);

  /// Forgets the directions, or the step, before, as after a step on data that was wrong. Does not
  /// wait.
  void reset_momentum();

  /// The report of the last step. Waits. Throws `ArgumentError` before the first step.
  StepReport report();

  /// Reports of the steps that finished since the last call of `reports`, oldest first; at most the
  /// last 64. Does not wait. Never throws for steps that failed.
  std::vector<StepReport> reports();

  const Options& options() const;
  const Parameters& parameters() const;

 private:
  friend struct detail::OptimizerAccess;
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace natgrad
