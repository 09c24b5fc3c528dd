#pragma once

#include "natgrad/damping.hpp"
#include "natgrad/export.hpp"
#include "natgrad/parameters.hpp"
#include "natgrad/scores.hpp"
#include "natgrad/types.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <variant>
#include <vector>

namespace natgrad {

/// theta += rate * direction.
struct FixedRate {
  double rate = 0.3;  ///< finite, > 0
};

/// No momentum: the direction is d = (S^T S + lambda I)^-1 S^T r.
struct NoMomentum {};

/// v = decay v + d, and v is the direction (Polyak 1964).
struct HeavyBall {
  double decay = 0.9;  ///< 0 <= decay < 1
};

/// d = decay d_prev + S^T (S S^T + lambda I)^-1 (r - decay S d_prev): momentum that only fills what
/// the present batch leaves open (Goldshlager, Abrahamsen, Lin 2024, "A Kaczmarz-inspired approach
/// to accelerate the optimization of neural network wavefunctions", eq. 25).
struct Spring {
  double decay = 0.9;  ///< 0 <= decay < 1
};

using StepRule = FixedRate;
using Momentum = std::variant<NoMomentum, HeavyBall, Spring>;

/// What one step did. All numbers are of the step as tried, also where it was not taken.
struct StepReport {
  std::int64_t step = 0;  ///< counts attempts, from 1
  Outcome outcome = Outcome::accepted;
  Form form = Form::dual;
  double rate = 0;
  double damping = 0;         ///< lambda as used
  double quadratic_form = 0;  ///< d^T F d of the direction d (of v with momentum), before the rate
  /// 1/2 rate^2 d^T F d, the KL divergence that the step predicts; only for sampled and exact rows,
  /// because the empirical matrix is not the Fisher.
  std::optional<double> predicted_kl;
  double residual = 0;  ///< |b - (A + lambda I) x| / |b| of the system solved
  /// estimated relative error of the solve (README, Accuracy); infinite at damping 0
  double error_bound = 0;
  std::int64_t failures_in_a_row = 0;
};

/// The update loop: hands the scores of a batch to a damped exact solve and moves the parameters.
class NATGRAD_EXPORT NaturalGradient {
 public:
  struct Options {
    Damping damping = {.absolute = 3e-2};
    StepRule step = FixedRate{};
    Momentum momentum = Spring{};
    /// theta shrinks by rate * weight_decay a step, outside F and g. Finite, >= 0; rate * it <= 1.
    double weight_decay = 0;
    /// Automatic: see `FisherMatrix`; the rows of a step are never kept.
    Form form = Form::automatic;
  };

  explicit NaturalGradient(Parameters parameters);
  /// Throws `OptionError` naming every option that is wrong.
  NaturalGradient(Parameters parameters, Options options);
  ~NaturalGradient();
  NaturalGradient(NaturalGradient&&) noexcept;
  NaturalGradient& operator=(NaturalGradient&&) noexcept;
  NaturalGradient(const NaturalGradient&) = delete;
  NaturalGradient& operator=(const NaturalGradient&) = delete;

  /// Moves the parameters by one step. Transactional: on any outcome but `accepted`, parameters and
  /// momentum are exactly as before. Does not wait, and allocates nothing when the batch is no
  /// larger than the largest so far. Costs, dual form and T = 1: N^2 sum(d_in + d_out) + N^3 / 3
  /// operations and two passes over the layers beside the caller's own forward and backward.
  /// Throws `ArgumentError` when the scores are of other parameters, hold no rows or only part of
  /// the batch, or the parameters have grown since the first step; `MemoryError` without room; and
  /// `StepFailed` once ten attempts in a row have failed; the next call tries again.
  void step(const Scores& scores);

  /// The report of the last step. Waits. Throws `ArgumentError` before the first step.
  StepReport report();

  /// Reports of the steps that finished since the last call of `reports`, oldest first; at most the
  /// last 64. Does not wait. Throws `StepFailed` like `step`.
  std::vector<StepReport> reports();

  const Options& options() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace natgrad
