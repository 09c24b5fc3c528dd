#pragma once

#include "kernels/formulas/formula.hpp"

#include <cmath>
#include <cstdint>

// Numbers of one damped solve. They live on the device and are advanced there, so that nothing in a
// step is read back and a captured step, replayed, is the next step. All are doubles, because
// operations write them through one-element views.

namespace natgrad {

/// What the damping strategy decides a solve by.
struct DampingState {
  double absolute;  // part of lambda in the units of F
  double relative;  // part of lambda in units of trace(F) / min(N, P)
  double l2;        // eta of a penalty eta/2 |theta|^2, which joins lambda in the matrix

  static constexpr const char* names[] = {"absolute", "relative", "l2"};
};

/// Of the system (A + shift I) x = b that a curvature factorizes, and of the direction d it gives.
struct SolveScalars {
  double norm;              // infinity norm of A; not finite exactly when A is not
  double trace;             // of A
  double damping;           // lambda as used
  double shift;             // lambda + eta
  double inverse_shift;     // 1 / shift, 0 where the shift is 0
  double matrix_finite;     // 1 where A and lambda are finite, else 0
  double info;              // of the factorization: 0, or a pivot was not positive
  double pivot_ratio;       // smallest pivot as a share of its diagonal element of A + shift I
  double pivot;             // smallest pivot
  double inverse_norm;      // estimate of |(A + shift I)^-1|, 0 where none was made
  double rhs_square;        // |b|^2
  double residual_square;   // |b - (A + shift I) x|^2
  double unrefined_square;  // the same before any refinement, infinite where there is none
  double residual;          // |b - (A + shift I) x| / |b|
  double solution_square;   // |x|^2, where an error bound needs it
  double gradient_square;   // |g|^2 of a gradient that was given
  double direction_square;  // |d|^2, where a bound needs it
  double stored_square;     // |d|^2 of d as it is stored, where d^T F d decides a rate
  double error_bound;       // relative, of d
  double quadratic_form;    // d^T F d
  double quadratic_error;   // by which rounding may have moved it
  double outcome;           // an Outcome

  static constexpr const char* names[] = {"norm",
                                          "trace",
                                          "damping",
                                          "shift",
                                          "inverse_shift",
                                          "matrix_finite",
                                          "info",
                                          "pivot_ratio",
                                          "pivot",
                                          "inverse_norm",
                                          "rhs_square",
                                          "residual_square",
                                          "unrefined_square",
                                          "residual",
                                          "solution_square",
                                          "gradient_square",
                                          "direction_square",
                                          "stored_square",
                                          "error_bound",
                                          "quadratic_form",
                                          "quadratic_error",
                                          "outcome"};
};

/// Of rows whose mean is taken out, with u_n = sqrt(w_n) up to a factor common to all rows.
struct CenteringScalars {
  double weight;        // |u|^2
  double moment;        // |S^T u|^2, of rows as they are
  double coefficients;  // u^T r; for `Centering::fisher_only` in sample space u^T y
  double scale;         // 1 / |u|; there: what d is multiplied by
  double shift;         // -u^T r / |u|; there: what y is multiplied by to become S d
  double error;         // there, refined: bound on the relative error of `scale`
  double reference;     // coefficient that all others are taken relative to
  double first_square;  // |s_0|^2 of the row that all others are taken relative to
};

/// What became of the rows' mean in the matrix A of a system.
enum class MeanRule : std::uint8_t {
  none,     // rows are not centred
  removed,  // A is of centred rows, made from one that was not
  kept      // A is not of centred rows, F is: `Centering::fisher_only` in sample space
};

/// What the error bound of a solve follows from (see `JudgeSolve`).
enum class BoundRule : std::uint8_t {
  push_through,
  any_gradient,
  parameter_space,
  diagonal,
  refined,
  refined_any_gradient,
  refined_fisher_only
};

namespace formulas {

// Numeric values of Outcome, which device code cannot name; scalar_formulas.hpp ties them.
inline constexpr double outcome_accepted = 0;
inline constexpr double outcome_rejected = 1;
inline constexpr double outcome_not_finite = 2;
inline constexpr double outcome_not_positive_definite = 3;

/// NaN and infinity times 0 are NaN.
NATGRAD_FORMULA bool is_finite(double x) { return x * 0 == 0; }

/// u^T S S^T u / |u|^2, the mean's part of the trace.
NATGRAD_FORMULA double mean_part(const CenteringScalars* c) {
  return c != nullptr && c->weight > 0 ? c->moment / c->weight : 0;
}

/// After norm and trace of A are known: lambda, whether A can be factorized at all, and an empty
/// result. With `rounding` the relative rounding of A's entries: what centring leaves of rows that
/// do not vary is rounding of the matrix that held their mean, and counts as no matrix.
struct Damp {
  SolveScalars* solve;
  const DampingState* damping;
  const CenteringScalars* centering;  // null: rows are not centred
  MeanRule mean;
  double rank;      // min(N, P)
  double rounding;  // n eps

  NATGRAD_FORMULA void operator()() const {
    SolveScalars& s = *solve;
    const double removed = mean == MeanRule::none ? 0 : mean_part(centering);
    double trace = mean == MeanRule::kept ? s.trace - removed : s.trace;
    if (trace <= rounding * removed) trace = 0;
    s.damping = damping->absolute + damping->relative * (trace > 0 ? trace : 0) / rank;
    s.shift = s.damping + damping->l2;
    s.inverse_shift = s.shift > 0 ? 1 / s.shift : 0;
    s.matrix_finite = is_finite(s.norm) && is_finite(s.trace) && is_finite(s.damping) ? 1 : 0;
    s.info = s.residual_square = s.residual = s.rhs_square = 0;
    s.pivot_ratio = s.pivot = 1;
    s.inverse_norm = 0;
    s.unrefined_square = INFINITY;
    s.stored_square = 0;
    s.solution_square = s.gradient_square = s.direction_square = 0;
    s.error_bound = s.quadratic_form = s.quadratic_error = 0;
    s.outcome = outcome_accepted;
  }
};

/// The factor of theta in the start of a push-through solve, -eta / shift.
struct PullToZero {
  const SolveScalars* solve;
  const DampingState* damping;
  double* factor;

  NATGRAD_FORMULA void operator()() const {
    *factor = solve->shift > 0 ? -damping->l2 / solve->shift : 0;
  }
};

/// factor = decay times the shift: SPRING's part of a right-hand side of P numbers.
struct SpringShift {
  const SolveScalars* solve;
  double decay;
  double* factor;

  NATGRAD_FORMULA void operator()() const { *factor = decay * solve->shift; }
};

/// Centred rows take q q^T / |u|^2 from F and q u^T r / |u|^2 from S^T r, q = S^T u: the factors of
/// q, and of q / |u|.
struct CenterFactors {
  CenteringScalars* centering;

  NATGRAD_FORMULA void operator()() const {
    CenteringScalars& c = *centering;
    c.scale = c.weight > 0 ? 1 / sqrt(c.weight) : 0;
    c.shift = -c.coefficients * c.scale;
  }
};

/// One inverse iteration: from |x|^2 of x = (A + shift I)^-1 v with |v| = 1 the estimate |x| of the
/// inverse's norm, and the factor that makes x the next v.
struct InverseIterate {
  const double* square;
  double* inverse_norm;
  double* factor;

  NATGRAD_FORMULA void operator()() const {
    const double norm = sqrt(*square);
    *inverse_norm = norm;
    *factor = norm > 0 && is_finite(norm) ? 1 / norm : 0;
  }
};

/// Coefficients that are all equal leave rounding when their mean is taken out, and a trust region
/// would turn it into a step: the factor of r is 0 where no more than rounding is left.
struct DropRounding {
  const double* before;  // |r|^2
  const double* after;   // the same of centred r
  double level;          // relative rounding of r
  double* factor;

  NATGRAD_FORMULA void operator()() const { *factor = *after <= level * level * *before ? 0 : 1; }
};

/// From d of uncentred rows to that of centred ones, maximum likelihood: with g = S^T u, the
/// centred matrix F - g g^T / |u|^2 has the direction d / (1 - u^T S d / |u|^2) (Sherman, Morrison
/// 1950). Where the mean is large the quotient is 1 to many digits; but S d = K y = u - shift y, so
/// that the difference is shift u^T y / |u|^2 and the centred S d is that of -shift y. An error e
/// of the system moves u^T y by y^T e.
struct CenterFisher {
  const SolveScalars* solve;
  CenteringScalars* centering;

  NATGRAD_FORMULA void operator()() const {
    const SolveScalars& s = *solve;
    CenteringScalars& c = *centering;
    const double difference = s.shift * c.coefficients;
    c.scale = c.weight > 0 && difference != 0 ? c.weight / difference : c.weight > 0 ? INFINITY : 1;
    c.shift = -s.shift * c.scale;
    c.error = s.residual_square > 0 && c.coefficients != 0
                  ? sqrt(s.residual_square * s.solution_square) / c.coefficients
                  : 0;
  }
};

/// After the solve: its residual, its error bound and its outcome.
///
/// The bound, with |A| the smaller of trace and infinity norm and a = min(|A| / shift, 4 |A|
/// times an estimate of the inverse's norm) the amplification of rounding: unrefined an estimate, a
/// eps by push-through; a eps |g| / (shift |d|) for a gradient that was given, because the
/// difference g - S^T t cancels; 4 a eps in parameter space; n eps of a diagonal, whose elements
/// are sums of n rows. By push-through and for a gradient the lengths of the solution may tell less
/// (`bound_by_lengths`): lambda need not be near the smallest eigenvalue. A refined solve knows its
/// residual rho in double: |S^T (K + shift)^-1 rho|
/// <= |rho| / (2 sqrt(shift)), a bound that no estimate enters but the rounding of rho.
///
/// The outcome: `info` alone is never trusted, because potrf may report success on NaN and on a
/// singular matrix, whose last pivot is rounding of either sign. A pivot at the level of rounding
/// counts where the shift is no larger, and so does a residual that is not small. Refinement by the
/// factor of such a matrix may grow beyond all bounds: the residual of what was refined tells then.
struct JudgeSolve {
  SolveScalars* solve = nullptr;
  const CenteringScalars* centering = nullptr;  // null: rows are not centred
  BoundRule bound{};
  MeanRule mean{};
  double size = 0;            // n unknowns
  double epsilon = 0;         // of the factorization
  double rounding = 0;        // of storing d, where its type is shorter
  double storage = 0;         // half the epsilon of d's type
  double scalar_epsilon = 0;  // of the factorization as far as pivots go: strict arithmetic
  bool starts = false;        // d is m + S^T y of a start m

  NATGRAD_FORMULA double removed() const {
    return mean == MeanRule::removed ? mean_part(centering) : 0;
  }

  /// |A|_2 <= trace for a positive semidefinite A, and <= the infinity norm for any. Taking out the
  /// mean leaves the rounding of the matrix that held it, and rows less the first one that of the
  /// rows.
  NATGRAD_FORMULA double matrix_norm() const {
    const double smaller = solve->trace < solve->norm ? solve->trace : solve->norm;
    if (mean != MeanRule::removed) return smaller;
    const double of_rows = 2 * sqrt(centering->first_square * centering->weight * smaller);
    return smaller + removed() + of_rows;
  }

  /// What the lengths of the solution tell. Rounding of K and of its factor is a change E of the
  /// matrix, |E| = eps |K|, by which y moves by (K + shift)^-1 E y and d by S^T times that; and
  /// |S^T (K + shift)^-1| <= 1 / (2 sqrt(shift)) whatever K is. Rounding of b moves d alike,
  /// and so does that of S m where b = r - S m and d = m + S^T y, |m| <= |d| + |S^T y|. With
  /// y of (K + shift) y = S g what d = (g - S^T y) / shift moves by is divided by the shift.
  NATGRAD_FORMULA double bound_by_lengths() const {
    const SolveScalars& s = *solve;
    if (!(s.shift > 0 && s.solution_square > 0 && s.direction_square > 0)) return INFINITY;
    const double norm = matrix_norm();
    const double y = sqrt(s.solution_square);
    const double d = sqrt(s.direction_square);
    const bool any_gradient = bound == BoundRule::any_gradient;
    const double g = any_gradient ? sqrt(s.gradient_square) : 0;
    const double of_start = starts ? sqrt(norm) * (d + sqrt(norm) * y) : 0;
    const double of_rhs = any_gradient ? sqrt(norm) * g : sqrt(s.rhs_square) + of_start;
    const double of_sum = sqrt(norm) * y + g;
    const double moved = (norm * y + of_rhs) / (2 * sqrt(s.shift)) + of_sum;
    return epsilon * moved / (d * (any_gradient ? s.shift : 1));
  }

  NATGRAD_FORMULA static double smaller_of(double x, double y) { return x < y ? x : y; }

  NATGRAD_FORMULA double solve_bound() const {
    const SolveScalars& s = *solve;
    const double d = sqrt(s.direction_square);
    const double by_shift = s.shift > 0 ? matrix_norm() / s.shift : INFINITY;
    // Inverse iteration comes near the inverse's norm from below.
    constexpr double margin = 4;
    const double by_inverse =
        s.inverse_norm > 0 ? margin * matrix_norm() * s.inverse_norm : INFINITY;
    const double smaller = by_shift < by_inverse ? by_shift : by_inverse;
    // Heavy damping leaves the rounding of products.
    const double amplified = epsilon * (smaller > 8 ? smaller : 8);
    const double length = s.shift * d;
    const double relative = length > 0 ? sqrt(s.gradient_square) / length : INFINITY;
    const double cancelled = s.gradient_square > 0 ? amplified * relative : 0;
    switch (bound) {
      case BoundRule::push_through:
        if (mean == MeanRule::kept) return amplified;  // d is scaled after the solve
        return smaller_of(8 * epsilon + bound_by_lengths(), amplified);
      case BoundRule::diagonal:
        return epsilon * (size > 8 ? size : 8);
      case BoundRule::any_gradient:
        return smaller_of(bound_by_lengths(), cancelled);
      case BoundRule::parameter_space:
        return 4 * amplified;
      default:
        break;
    }
    if (s.shift == 0) return INFINITY;
    const double residual = sqrt(s.residual_square);
    const double certified = residual > 0 && d > 0 ? residual / (2 * sqrt(s.shift) * d) : 0;
    if (bound == BoundRule::refined_any_gradient) return certified / s.shift + cancelled;
    const double of_mean = bound == BoundRule::refined_fisher_only ? centering->error : 0;
    return certified + amplified + of_mean;
  }

  NATGRAD_FORMULA double relative_residual(double square) const {
    return solve->rhs_square > 0 ? sqrt(square / solve->rhs_square) : sqrt(square);
  }

  NATGRAD_FORMULA bool is_singular() const {
    const SolveScalars& s = *solve;
    // Pivots of a singular matrix are sums of up to n roundings, and of a few in small ones.
    constexpr double few = 32;
    const double level = (size + few) * scalar_epsilon;
    if (s.info != 0) return true;
    // Centring leaves rounding of the matrix that held the mean.
    if (s.pivot <= level * removed()) return true;
    // A shift above the rounding of the diagonal carries the pivots itself.
    const bool carried = s.shift > 4 * scalar_epsilon * (s.trace + removed()) / size;
    if (s.pivot_ratio <= level && !carried) return true;
    if (!is_finite(s.residual_square) && is_finite(s.unrefined_square)) return true;
    // A right-hand side S g that is rounding of g leaves nothing to compare with.
    const double rounding_of_rhs = level * level * matrix_norm() * s.gradient_square;
    constexpr double large_residual = 0.5;
    return is_finite(s.residual) && s.residual > large_residual && s.rhs_square > rounding_of_rhs;
  }

  NATGRAD_FORMULA void operator()() const {
    SolveScalars& s = *solve;
    s.residual = relative_residual(s.residual_square);
    // Rows that do not vary leave a rounding error of either sign when they are centred.
    if (s.quadratic_form < 0) s.quadratic_form = 0;
    s.error_bound = solve_bound() + rounding;
    // Storing d moves it along the rows, too, by half an epsilon of its type.
    const double norm = s.trace < s.norm ? s.trace : s.norm;
    s.quadratic_error = norm * storage * storage * s.stored_square;
    if (bound == BoundRule::parameter_space) {
      // |d|^2 is 0 where d^T F d was taken from the rows.
      s.quadratic_error += 4 * epsilon * matrix_norm() * s.direction_square;
    }
    if (s.matrix_finite == 0 || !is_finite(s.rhs_square)) {
      s.outcome = outcome_not_finite;
    } else if (is_singular()) {
      s.outcome = outcome_not_positive_definite;
      // A solution that is not finite has left all of b.
      if (!is_finite(s.residual)) s.residual = relative_residual(s.unrefined_square);
      if (!is_finite(s.residual)) s.residual = INFINITY;
    } else if (!is_finite(s.residual_square) || !is_finite(s.quadratic_form)) {
      s.outcome = outcome_not_finite;
    } else {
      s.outcome = outcome_accepted;
    }
  }
};

/// Adds the next block of a block-diagonal matrix to the sum of those before: the outcome is the
/// first that is not accepted, damping, residual and error bound are the largest, the quadratic
/// forms add up.
struct AddBlock {
  const SolveScalars* block;
  SolveScalars* sum;
  bool first;

  /// NaN, once there, stays.
  NATGRAD_FORMULA static void keep_larger(double x, double& y) {
    if (!(x <= y) && y == y) y = x;
  }

  NATGRAD_FORMULA void operator()() const {
    if (first) {
      *sum = *block;
      return;
    }
    if (sum->outcome == outcome_accepted) sum->outcome = block->outcome;
    if (block->matrix_finite == 0) sum->matrix_finite = 0;
    keep_larger(block->norm, sum->norm);
    keep_larger(block->damping, sum->damping);
    keep_larger(block->shift, sum->shift);
    keep_larger(block->residual, sum->residual);
    keep_larger(block->error_bound, sum->error_bound);
    sum->trace += block->trace;
    sum->quadratic_form += block->quadratic_form;
    sum->quadratic_error += block->quadratic_error;
    sum->rhs_square += block->rhs_square;
    sum->residual_square += block->residual_square;
  }
};

}  // namespace formulas
}  // namespace natgrad
