#pragma once

#include "kernels/formula.hpp"

#include <cmath>
#include <cstdint>

// The numbers of a solve and of a step that change while work is queued. They live on the device
// and are advanced there, so that nothing in a step is read back and a captured step, replayed, is
// the next step. All are doubles: operations write them through one-element views, and counters are
// exact up to 2^53.

namespace natgrad {

struct StepScalars {
  // Set by the host before the first step and by setters.
  double rate;
  double weight_decay;
  double absolute_damping;
  double relative_damping;
  // The system (A + damping I) x = b.
  double norm;             // infinity norm of A; not finite exactly when A is not
  double trace;            // of A
  double damping;          // lambda as used
  double matrix_finite;    // 1 or 0
  double info;             // of the factorization
  double rhs_square;       // |b|^2
  double residual_square;  // |b - (A + damping I) x|^2
  double residual;
  double error_bound;
  double quadratic_form;  // d^T F d
  double scratch;         // a result that the host reads back
  // The step.
  double shrink;         // rate * weight decay
  double update_finite;  // 1 or 0: the new parameters
  double outcome;        // an Outcome
  double accept;         // 1 or 0
  double step;           // attempts
  double failures;       // in a row
};

inline constexpr std::int64_t step_scalars_count = sizeof(StepScalars) / sizeof(double);

enum class ScalarRule : std::uint8_t { begin_step, damp, judge_solve, judge_step };

struct ScalarArguments {
  double rank = 1;          // min(N, P)
  double epsilon = 0;       // of the factorization
  double bound_factor = 1;  // 1 in the dual form, 4 in the primal one
};

namespace formulas {

// Numeric values of Outcome, which device code cannot name.
inline constexpr double outcome_accepted = 0;
inline constexpr double outcome_not_finite = 2;
inline constexpr double outcome_not_positive_definite = 3;

/// NaN and infinity times 0 are NaN.
NATGRAD_FORMULA bool is_finite(double x) { return x * 0 == 0; }

NATGRAD_FORMULA void begin_step(StepScalars& s) {
  s.step += 1;
  s.shrink = s.rate * s.weight_decay;
  s.update_finite = 1;
}

/// After norm and trace of A are known: lambda, and whether A can be factorized at all.
NATGRAD_FORMULA void damp(StepScalars& s, const ScalarArguments& a) {
  s.damping = s.absolute_damping + s.relative_damping * s.trace / a.rank;
  s.matrix_finite = is_finite(s.norm) && is_finite(s.trace) && is_finite(s.damping) ? 1 : 0;
}

/// After the solve: its residual, its error bound and its outcome. `info` alone is never trusted,
/// because potrf may report success on NaN.
NATGRAD_FORMULA void judge_solve(StepScalars& s, const ScalarArguments& a) {
  s.residual = s.rhs_square > 0 ? sqrt(s.residual_square / s.rhs_square) : sqrt(s.residual_square);
  // |A|_2 <= trace for a positive semidefinite A, and <= the infinity norm for any.
  const double norm = s.trace < s.norm ? s.trace : s.norm;
  s.error_bound = s.damping == 0 ? INFINITY : a.bound_factor * a.epsilon * norm / s.damping;
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

NATGRAD_FORMULA void judge_step(StepScalars& s) {
  if (s.outcome == outcome_accepted && s.update_finite == 0) s.outcome = outcome_not_finite;
  s.accept = s.outcome == outcome_accepted ? 1 : 0;
  s.failures = s.accept != 0 ? 0 : s.failures + 1;
}

}  // namespace formulas
}  // namespace natgrad
