#pragma once

#include "natgrad/types.hpp"

#include <variant>

namespace natgrad {

/// lambda stays as it is until a setter changes it.
struct ConstantDamping {};

/// After each accepted step `Damping::absolute` is multiplied by `factor`, down to `floor`: after k
/// of them it is max(floor, absolute factor^k). It never grows again, so that a floor at which F +
/// lambda D is singular up to rounding ends the run: every further step would fail.
struct DampingSchedule {
  double factor = 0.99;  ///< 0 < factor <= 1
  double floor = 1e-4;   ///< in the units of `absolute`; 0 < floor <= absolute
};

/// Levenberg-Marquardt: lambda follows how well the quadratic model foretells the loss of the
/// step's own batch. With s the step that was taken, L the batch's loss with `.l2` (eta), g uphill
/// in log-likelihood, the reduction ratio is
///
///     rho = (L(theta) - L(theta + s)) / ((g - eta theta)^T s - 1/2 s^T (F + eta I) s),
///
/// whose model is that of the loss, without lambda, so that rho is 1 where the loss is quadratic
/// with Hessian F + eta I. rho > 3/4 multiplies `Damping::absolute` by `factor`, rho < 1/4 divides
/// it. A step whose loss does not fall, or is not finite, is taken back (`Outcome::rejected`) and
/// divides it, and so does one that fails before, and one whose first rate a rule with several
/// trials refused: rho tends to 1 as the rate falls, whatever the model. Where the model predicts
/// no change above the rounding of the loss (0/0), rho counts as 1 and lambda stays. A loss falls
/// unless it grows by more than 8 units in its last place, in the type of the parameters.
///
/// Needs `Batch::loss`, which it calls twice a step, batches in one call, and one product more with
/// the rows (with rows of a gradient, two). Levenberg 1944, Marquardt 1963; Martens 2010, "Deep
/// learning via Hessian-free optimization", section 4.1, whose `factor` this is; Martens, Grosse
/// 2015, section 6.5, whose model has lambda in it.
struct LevenbergMarquardt {
  double factor = 2.0 / 3;  ///< 0 < factor < 1
  double smallest = 1e-10;  ///< lambda does not fall below it; finite, > 0
  double largest = 1e10;    ///< lambda does not grow beyond it; finite, >= smallest
  /// The empirical matrix is not the Hessian of the loss, so that the ratio says little: such rows
  /// are refused (`ArgumentError`) unless this is set.
  bool allow_empirical = false;
};

/// lambda follows the rates of a step rule that looks for them, such as `GeodesicAcceleration`: a
/// step at a rate of `long_rate` or more multiplies `Damping::absolute` by `decrease`, an accepted
/// one below `short_rate` by `increase`; one that is rejected, because no rate made the loss fall,
/// by `after_rejection`, and one that fails before, in its factorization, by `after_failure`. Needs
/// neither losses nor products with the rows. With `long_rate` 0 it is a schedule that falls a step
/// and recovers after failures.
struct StepLengthDamping {
  double long_rate = 0.1;        ///< finite, >= 0
  double short_rate = 0.02;      ///< finite, >= 0
  double decrease = 0.1;         ///< 0 < decrease <= 1
  double increase = 3;           ///< finite, >= 1
  double after_rejection = 100;  ///< finite, >= 1
  double after_failure = 4;      ///< finite, >= 1
  double smallest = 1e-13;       ///< lambda does not fall below it; finite, > 0
  double largest = 1;            ///< lambda does not grow beyond it; finite, >= smallest
};

/// What changes `Damping::absolute` from step to step.
using DampingRule =
    std::variant<ConstantDamping, DampingSchedule, LevenbergMarquardt, StepLengthDamping>;

/// The damped matrix is F + lambda D, lambda = absolute + relative * trace(D^-1 F) / min(N, P).
/// With the default scaling D = I: lambda is in the units of F, and the second term's unit is the
/// mean of the eigenvalues that can be non-zero. Relative damping alone makes the step grow as
/// 1/|s| while an empirical maximum-likelihood fit improves, and fails on centred rows that no
/// longer vary: keep an absolute part there, which stays unless it is set to 0.
struct Damping {
  /// Finite, >= 0; in units of D. Under Levenberg-Marquardt between its bounds.
  double absolute = 3e-2;
  double relative = 0;  ///< finite, >= 0; 0 under a rule that changes `absolute`
  /// The unit D, of each batch's own F. Scaled, lambda is a pure number: 0.03 is three percent of
  /// the mean diagonal element of F, of each tensor or each parameter, and trace(D^-1 F) is the
  /// number of parameters. A tensor, or a parameter, whose diagonal of F is 0 has no unit and gets
  /// no step. `tensor` goes with the structures full and block_diagonal, in both forms, and so does
  /// `diagonal` for rows without layers (`DenseScores`); of layers it takes the primal form, which
  /// `Form::automatic` then chooses. Neither goes with centred rows. Residual and error bound are
  /// those of the system in the scaled parameters D^1/2 d.
  DampingScaling scaling = DampingScaling::identity;
  /// Of an optimizer; a `FisherMatrix` takes constant damping only.
  DampingRule rule = ConstantDamping{};
};

}  // namespace natgrad
