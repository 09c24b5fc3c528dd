#pragma once

#include "kernels/formulas/formula.hpp"

#include <cmath>
#include <cstdint>

// The numbers of a solve and of a step that change while work is queued. They live on the device
// and are advanced there, so that nothing in a step is read back and a captured step, replayed, is
// the next step. All are doubles: operations write them through one-element views, and counters are
// exact up to 2^53.

namespace natgrad {

struct StepScalars {
  // Set by the host before the first step and by setters.
  double rate;            // of the first step: a fixed rate, or the largest
  double schedule;        // a RateDecay
  double schedule_steps;  // accepted steps until the rate is 0
  double kl_radius;       // 0: the rate is fixed
  double max_norm;        // of the step, infinite without a limit
  double weight_decay;
  double absolute_damping;
  double relative_damping;
  double l2;      // eta of eta/2 |theta|^2
  double spring;  // mu of SPRING
  // The system (A + shift I) x = b.
  double norm;             // infinity norm of A; not finite exactly when A is not
  double trace;            // of A
  double damping;          // lambda as used
  double shift;            // lambda + eta
  double inverse_shift;    // 1 / shift
  double l2_share;         // -eta / shift
  double spring_shift;     // mu shift
  double matrix_finite;    // 1 or 0
  double info;             // of the factorization
  double rhs_square;       // |b|^2
  double residual_square;  // |b - (A + shift I) x|^2
  double residual;
  double solution_square;   // |y|^2 where an error bound asks for it
  double gradient_square;   // |g|^2 of a general g
  double direction_square;  // |d|^2 where an error bound asks for it
  double error_bound;
  double quadratic_form;  // d^T F d
  double centre_square;   // |u|^2, u_n = sqrt(w_n) up to a factor
  double centre_moment;   // |S^T u|^2 of rows that are not centred
  double centre_product;  // u^T r; dual, `Centering::fisher_only`: u^T y
  double centre_scale;    // 1 / |u|; there: what d is multiplied by
  double centre_shift;    // - u^T r / |u|; there: what y is multiplied by for S d, before centring
  double centre_error;    // there, refined: bound on the relative error of centre_scale
  double scratch;         // a result that the host reads back
  // The step.
  double step_square;    // |v|^2 of the step before the rate
  double step_rate;      // the rate as used
  double shrink;         // step rate * weight decay
  double update_finite;  // 1 or 0: the new parameters
  double outcome;        // an Outcome
  double accept;         // 1 or 0
  double step;           // attempts
  double taken;          // accepted steps
  double failures;       // in a row
  double form;           // a Form
  double kind;           // a FisherKind, of the rows
};

inline constexpr std::int64_t step_scalars_count = sizeof(StepScalars) / sizeof(double);

enum class ScalarRule : std::uint8_t {
  damp,
  centre,
  centre_fisher,
  judge_solve,
  begin_step,
  judge_step
};

/// What the error bound of a solve follows from (see judge_solve).
enum class BoundRule : std::uint8_t {
  push_through,
  general,
  primal,
  refined,
  refined_general,
  refined_centre  // `Centering::fisher_only`
};

/// What became of the rows' mean in the matrix A of a system.
enum class MeanRule : std::uint8_t {
  none,     // rows are not centred
  removed,  // A is of centred rows, made from one that was not
  kept      // A is not of centred rows, F is: the dual system of `Centering::fisher_only`
};

struct ScalarArguments {
  double rank = 1;     // min(N, P)
  double epsilon = 0;  // of the factorization
  BoundRule bound = BoundRule::push_through;
  MeanRule mean = MeanRule::none;
  double rounding = 0;  // of storing d: half its type's epsilon, where that is narrower
  double form = 0;      // of the step, for its report
  double kind = 0;
};

namespace formulas {

// Numeric values of Outcome and RateDecay, which device code cannot name.
inline constexpr double outcome_accepted = 0;
inline constexpr double outcome_not_finite = 2;
inline constexpr double outcome_not_positive_definite = 3;
inline constexpr double decay_linear = 1;
inline constexpr double decay_cosine = 2;

/// NaN and infinity times 0 are NaN.
NATGRAD_FORMULA bool is_finite(double x) { return x * 0 == 0; }

/// u^T S S^T u / |u|^2, the mean's part of the trace.
NATGRAD_FORMULA double mean_part(const StepScalars& s) {
  return s.centre_square > 0 ? s.centre_moment / s.centre_square : 0;
}

/// After norm and trace of A are known: lambda, and whether A can be factorized at all.
NATGRAD_FORMULA void damp(StepScalars& s, const ScalarArguments& a) {
  const double trace = a.mean == MeanRule::kept ? s.trace - mean_part(s) : s.trace;
  // Rows that do not vary leave a rounding error of either sign when they are centred.
  s.damping = s.absolute_damping + s.relative_damping * (trace > 0 ? trace : 0) / a.rank;
  s.shift = s.damping + s.l2;
  s.inverse_shift = 1 / s.shift;
  s.l2_share = s.l2 > 0 ? -s.l2 / s.shift : 0;
  s.spring_shift = s.spring * s.shift;
  s.matrix_finite = is_finite(s.norm) && is_finite(s.trace) && is_finite(s.damping) ? 1 : 0;
}

/// Centred rows take q q^T / |u|^2 from F and q u^T r / |u|^2 from S^T r, q = S^T u: the factors of
/// q, and of q / |u|.
NATGRAD_FORMULA void centre(StepScalars& s) {
  s.centre_scale = s.centre_square > 0 ? 1 / sqrt(s.centre_square) : 0;
  s.centre_shift = -s.centre_product * s.centre_scale;
}

/// From d of uncentred rows to that of centred ones, maximum likelihood: with g = S^T u, the
/// centred matrix F - g g^T / |u|^2 has the direction d / (1 - u^T S d / |u|^2) (Sherman, Morrison
/// 1950). Where the mean is large the quotient is 1 to many digits; but S d = K y = u - shift y, so
/// that the difference is shift u^T y / |u|^2 and the centred S d is that of -shift y. An error e
/// of the system moves u^T y by y^T e.
NATGRAD_FORMULA void centre_fisher(StepScalars& s) {
  s.centre_scale = s.centre_square > 0 ? s.centre_square / (s.shift * s.centre_product) : 1;
  s.centre_shift = -s.shift * s.centre_scale;
  s.centre_error =
      s.residual_square > 0 ? sqrt(s.residual_square * s.solution_square) / s.centre_product : 0;
}

/// Estimated relative error of the solution. Unrefined, with |K| the smaller of trace and infinity
/// norm: eps |K| / shift by push-through; eps |K| |g| / (shift^2 |d|) for a general g, which the
/// difference g - S^T t cancels down to; 4 eps |F| / shift in the primal form. A refined solve
/// knows its residual rho in double: |S^T (K + shift)^-1 rho| <= |rho| / (2 sqrt(shift)), a bound
/// that no estimate enters but the rounding of rho itself.
NATGRAD_FORMULA double solve_bound(const StepScalars& s, const ScalarArguments& a) {
  // |A|_2 <= trace for a positive semidefinite A, and <= the infinity norm for any. Taking out the
  // mean leaves the rounding of the matrix that held it.
  const double norm =
      (s.trace < s.norm ? s.trace : s.norm) + (a.mean == MeanRule::removed ? mean_part(s) : 0);
  const double d = sqrt(s.direction_square);
  // Heavy damping leaves the rounding of products.
  const double rounding = a.epsilon * (norm > s.shift ? norm / s.shift : 1);
  const double amplified =
      s.gradient_square > 0 ? rounding * sqrt(s.gradient_square) / (s.shift * d) : 0;
  switch (a.bound) {
    case BoundRule::push_through:
      return rounding;
    case BoundRule::general:
      return amplified;
    case BoundRule::primal:
      return 4 * rounding;
    default:
      break;
  }
  const double residual = sqrt(s.residual_square);
  const double certified = residual == 0 ? 0 : residual / (2 * sqrt(s.shift) * d);
  if (a.bound == BoundRule::refined_general) return certified / s.shift + amplified;
  return certified + rounding + (a.bound == BoundRule::refined_centre ? s.centre_error : 0);
}

/// The same of d as it is stored.
NATGRAD_FORMULA double error_bound(const StepScalars& s, const ScalarArguments& a) {
  return s.shift == 0 ? INFINITY : solve_bound(s, a) + a.rounding;
}

/// After the solve: its residual, its error bound and its outcome. `info` alone is never trusted,
/// because potrf may report success on NaN.
NATGRAD_FORMULA void judge_solve(StepScalars& s, const ScalarArguments& a) {
  s.residual = s.rhs_square > 0 ? sqrt(s.residual_square / s.rhs_square) : sqrt(s.residual_square);
  // Rows that do not vary leave a rounding error of either sign when they are centred.
  if (s.quadratic_form < 0) s.quadratic_form = 0;
  s.error_bound = error_bound(s, a);
  if (s.matrix_finite == 0 || !is_finite(s.rhs_square)) {
    s.outcome = outcome_not_finite;
  } else if (s.info != 0) {
    s.outcome = outcome_not_positive_definite;
  } else if (!is_finite(s.residual_square) || !is_finite(s.quadratic_form)) {
    s.outcome = outcome_not_finite;
  } else {
    s.outcome = outcome_accepted;
  }
  s.accept = s.outcome == outcome_accepted ? 1 : 0;
}

/// What is left of the rate after `taken` accepted steps.
NATGRAD_FORMULA double scheduled(const StepScalars& s) {
  if (s.schedule == 0) return 1;
  const double done = s.taken < s.schedule_steps ? s.taken / s.schedule_steps : 1;
  return s.schedule == decay_linear ? 1 - done : (1 + cos(3.14159265358979323846 * done)) / 2;
}

/// Counts the step, and fixes its rate from the direction's quadratic form and norm. A direction of
/// zero gets the largest rate.
NATGRAD_FORMULA void begin_step(StepScalars& s, const ScalarArguments& a) {
  s.step += 1;
  s.form = a.form;
  s.kind = a.kind;
  s.step_rate = s.rate * scheduled(s);
  if (s.kl_radius > 0 && s.quadratic_form > 0) {
    const double rate = sqrt(2 * s.kl_radius / s.quadratic_form);
    if (rate < s.step_rate) s.step_rate = rate;
  }
  if (s.step_square > 0) {
    const double rate = s.max_norm / sqrt(s.step_square);
    if (rate < s.step_rate) s.step_rate = rate;
  }
  s.shrink = s.step_rate * s.weight_decay;
  s.update_finite = 1;
}

NATGRAD_FORMULA void judge_step(StepScalars& s) {
  if (s.outcome == outcome_accepted && s.update_finite == 0) s.outcome = outcome_not_finite;
  s.accept = s.outcome == outcome_accepted ? 1 : 0;
  s.taken += s.accept;
  s.failures = s.accept != 0 ? 0 : s.failures + 1;
}

}  // namespace formulas
}  // namespace natgrad
