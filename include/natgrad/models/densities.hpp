#pragma once

#include "natgrad/array.hpp"
#include "natgrad/context.hpp"
#include "natgrad/export.hpp"
#include "natgrad/parameters.hpp"
#include "natgrad/scores.hpp"
#include "natgrad/types.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

namespace natgrad {

/// Where an exponential family lives: Q points with weights, which are the base measure of a finite
/// support, or a quadrature rule on an interval (times a base density, if there is one), and the
/// statistics t(x) of a point. Statistics that are linearly dependent on the support (a constant
/// among them) make F singular.
struct NATGRAD_EXPORT Support {
  std::vector<double> points;  ///< (Q), finite
  /// (Q), finite, at least one > 0, the others 0 or > 0; not denormal (below 2.2e-308), because a
  /// density with respect to such a weight may overflow.
  std::vector<double> weights;
  std::int64_t statistics = 0;  ///< numbers that `statistic` writes, > 0 and <= 2^20
  /// Writes t(x), numbers of at most 1e150 in size (1e37 for a density in float32), so that their
  /// squares, which F is a sum of, stay finite: take another unit where they are larger. Called on
  /// the host, while the density is made and by `observe`.
  std::function<void(double x, std::span<double> t)> statistic;
  bool interval = false;  ///< samples lie in [points.front(), points.back()], else on a point

  /// A finite support, all weights 1.
  static Support finite(std::vector<double> points, std::int64_t statistics,
                        std::function<void(double x, std::span<double> t)> statistic);
  /// [low, high] by `panels` pieces of equal length, each with the Gauss-Lobatto rule of 8 points:
  /// exact where the integrand is a polynomial of degree 13 in each. Throws `OptionError` unless
  /// low < high are finite and panels > 0.
  static Support on_interval(double low, double high, std::int64_t panels, std::int64_t statistics,
                             std::function<void(double x, std::span<double> t)> statistic);

  /// The statistics of samples, (N, statistics) row-major: what the density takes as samples. N may
  /// be 0. Costs N calls of `statistic`, and N Q comparisons for a finite support. Throws
  /// `ArgumentError` naming the first sample that is not finite, outside of the interval or on no
  /// point with a weight > 0, or whose statistics are not finite or too large; `OptionError` for a
  /// support that no density takes.
  std::vector<double> observe(std::span<const double> samples) const;
};

/// A density p(x | theta) without inputs. It has its parameters theta in an array on the context's
/// device, and computes in double, whatever their type. Everything but what says so is enqueued and
/// does not wait. N: samples, P: parameters, D: numbers of a sample.
///
/// Collapse: the likelihood of a mixture is unbounded where a component shrinks onto one sample,
/// and that of a Gaussian where all samples are equal. Scales then fall until numbers overflow and
/// the step ends as `not_finite`, parameters as they were. A step that is accepted may still leave
/// the domain of `gaussian_scale` or `gaussian_natural`, a KL trust region's too where its radius
/// is large, for it measures a predicted divergence; a rule that looks at the loss of its trials
/// does not take such a step. A component without data has responsibilities, and hence scores of
/// its mean and scale, that fall to 0 exactly; undamped its F is singular, and the step ends as
/// `not_positive_definite`.
class NATGRAD_EXPORT Density {
 public:
  struct Options {
    DensityFamily family = DensityFamily::gaussian_log_scale;
    /// D of gaussian_cholesky and mixture, > 0 and <= 2^20; 1 for the others.
    std::int64_t dimensions = 1;
    std::int64_t components = 1;              ///< K of a mixture, > 0 and <= 2^20; 1 for the others
    Support support = {};                     ///< of an exponential family
    ElementType type = ElementType::float64;  ///< of parameters, samples and scores; a float
    std::uint64_t key = 0;                    ///< of the samples that are drawn
    /// Draws that a KL divergence is the mean over where neither a closed form nor a quadrature is
    /// at hand (mixtures of D > 1); > 0.
    std::int64_t kl_draws = 10000;
  };

  /// Makes a density at a standard theta: means 0 (those of a mixture -1 to 1 in every dimension),
  /// scales 1, equal weights, eta 0. Waits. Throws `OptionError` naming every option that is wrong,
  /// `MemoryError`.
  Density(const Context& context, Options options);
  ~Density();
  Density(Density&&) noexcept;
  Density& operator=(Density&&) noexcept;
  Density(const Density&) = delete;
  Density& operator=(const Density&) = delete;

  const Parameters& parameters() const;
  const Options& options() const;
  std::int64_t columns() const;  ///< D
  /// theta as P contiguous numbers, which the tensors of `parameters` are parts of.
  View values() const;
  /// Sets theta, P numbers. Waits. Throws `ShapeError` for another number of them.
  void write(std::span<const double> theta);
  /// theta, P numbers. Waits.
  std::vector<double> read() const;

  // What takes samples x (N, D), N > 0, contiguous, of the parameters' type, throws `ShapeError`,
  // `TypeError` or `DeviceError` for an operand that does not fit and `MemoryError` without room,
  // and allocates when N is larger than ever before.

  /// log p(x_n | theta) in nats, float64 (N). NaN for samples that are not finite or, of an
  /// exponential family, outside of the support.
  void log_likelihood(const ConstView& x, const View& log_p);
  /// The mean of -log p(x_n | theta), one float64: what a step rule asks for as the loss.
  void loss(const ConstView& x, const View& loss);

  /// Computes the scores of samples, (N, P), and keeps them as the rows of `add_to` and `gradient`.
  void compute(const ConstView& x);
  /// The rows of `compute`, (N, P), valid until the next. Throws `ArgumentError` before `compute`.
  ConstView rows() const;
  /// Begins a set with the rows of `compute`; `set.samples` may stay 0. They are valid until the
  /// next `compute`. Throws `ArgumentError` before `compute` and for scores of other parameters.
  void add_to(DenseScores& scores, const RowSet& set = {}) const;
  /// The gradient of the mean log-likelihood: the mean of the rows of `compute`, P contiguous
  /// numbers of the parameters' type. Throws `ArgumentError` before `compute`.
  void gradient(const View& gradient) const;

  /// Draws N samples: number n of call c follows from key, c (modulo 2^32) and n alone, the same
  /// uniform numbers on every machine and backend. An exponential family draws points of its
  /// support with the weights of the rule, and returns their statistics. Valid until the next call
  /// of `sample` or `compute_sampled`. Throws `OptionError` for N < 1.
  ConstView sample(std::int64_t samples);
  /// Draws N samples and computes their scores, rows of the sampled Fisher matrix whose mean is no
  /// gradient of anything; the rows of `compute` stay.
  void compute_sampled(std::int64_t samples);
  /// Begins a set of kind `sampled` with the rows of `compute_sampled`. Throws `ArgumentError`
  /// before it and for scores of another kind or of other parameters.
  void add_sampled_to(DenseScores& scores, const RowSet& set = {}) const;
  /// How many times samples were drawn. Waits.
  std::int64_t draw_counter() const;
  /// Sets it. Throws `OptionError` outside of [0, 2^53].
  void set_draw_counter(std::int64_t counter);

  /// Whether the exact Fisher matrix is at hand: all but mixtures of D > 1, for which `sampled` is
  /// the way out.
  bool has_exact() const;
  /// Computes P rows R with R^T R = F, the Fisher matrix of theta: closed forms for the Gaussians;
  /// by quadrature for exponential families and mixtures of D = 1 (Gauss-Legendre pieces around
  /// every component), whose R is the Cholesky factor L^T of F = L L^T, with a row of zeros where a
  /// pivot is at the level of rounding. The first call allocates two arrays (P, P). Throws
  /// `ArgumentError` where there is none, `MemoryError` without room.
  void compute_exact();
  /// Begins a set of kind `exact` with these P rows, each of weight 1. The step takes the mean
  /// score beside them: `Batch{.fisher = exact, .gradient = Gradient{g}}`, g from `gradient`.
  /// Throws `ArgumentError` before `compute_exact` and for scores of another kind or of other
  /// parameters.
  void add_exact_to(DenseScores& scores) const;

  /// KL(p_theta || p_other) in nats, one float64; theta and other are P contiguous numbers of the
  /// parameters' type. Closed form for the Gaussians, by quadrature for exponential families and
  /// mixtures of D = 1, else the mean of log p_theta - log p_other over `kl_draws` samples of
  /// p_theta, the same uniform numbers in every call.
  void kl(const ConstView& theta, const ConstView& other, const View& result);

  /// What a density has been asked for.
  struct Uses {
    std::int64_t samples = 0;  ///< N, the most that a call took
    std::int64_t draws = 0;    ///< samples that `compute_sampled` drew; 0: it was not called
    bool exact = false;        ///< `compute_exact` was called
  };
  /// Bytes that a density of these options holds once it has been used so. Throws `OptionError` as
  /// the constructor does and for numbers below 0, `MemoryError` for more bytes than an address can
  /// count.
  static std::int64_t bytes(const Options& options, const Uses& uses);
  static std::int64_t bytes(const Options& options, std::int64_t samples, std::int64_t draws = 0);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace natgrad
