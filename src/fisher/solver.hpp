#pragma once

#include "backend/backend.hpp"
#include "core/arena.hpp"
#include "fisher/damped_system.hpp"
#include "natgrad/fisher_matrix.hpp"
#include "natgrad/scores.hpp"
#include "natgrad/types.hpp"

#include <cstdint>

namespace natgrad::detail {

/// A damped solve as the host knows it before it runs: all that its memory and its work follow
/// from.
struct SolveShape {
  Form form = Form::dual;
  std::int64_t rows = 0;                    // N
  std::int64_t parameters = 0;              // P
  ElementType type = ElementType::float32;  // of rows, parameters and d
  ElementType gram = ElementType::float32;  // of K and its factor; F is float64
  int refinement = 0;                       // of the dual form
  MathMode mode = MathMode::strict;         // of products of float rows
  Centering centering = Centering::none;
  bool general = false;          // g is P numbers, not S^T r
  bool based = false;            // d starts from some m
  std::int64_t factor_work = 0;  // bytes of scratch of the factorization

  bool dual() const { return form == Form::dual; }
  bool centred() const { return centering == Centering::rows; }
  MeanRule mean() const {
    if (centering == Centering::none) return MeanRule::none;
    return dual() && !centred() ? MeanRule::kept : MeanRule::removed;
  }
  bool refined() const { return dual() && refinement > 0; }
  std::int64_t unknowns() const { return dual() ? rows : parameters; }
  void ask_factor_work(const Backend& backend) {
    factor_work = backend.potrf_scratch(Triangle::upper, unknowns(),
                                        SystemBuffers::leading_dimension(unknowns()), factorized());
  }
  ElementType factorized() const { return dual() ? gram : ElementType::float64; }
  /// Of r, y, d and g while they are computed.
  ElementType vectors() const { return refined() ? ElementType::float64 : factorized(); }
};

/// Memory of a solve beside its system. Names that several quantities share stand for the same
/// memory.
struct SolveBuffers {
  View rhs;           // r or S g (N): the right-hand side of the dual system
  View solution;      // y or t (N)
  View product;       // S d (N); primal: F d (P)
  View residual;      // (N)
  View base;          // refined: m (P)
  View base_product;  // S m (N)
  View gradient;      // g (P) of a general solve; primal: the right-hand side (P)
  View direction;     // d (P)
  View narrow;        // d (P) in the parameters' type
  View centre;        // u (N), where anything is centred
  Scratch work;       // of row operations

  SolveBuffers() = default;
  SolveBuffers(Carver& carver, const SolveShape& shape, const SystemBuffers& system,
               std::int64_t work_bytes);
};

/// Solves (F + shift I) d = g in either form. Everything is enqueued; what became of it stands in
/// the scalars. In the order of calls: `gram` (dual; in the primal form F stands in the system's
/// matrix), `factorize`, one of the solves, `judge`.
class Solver {
 public:
  Solver(Backend& backend, const SolveShape& shape, const SystemBuffers& system,
         const SolveBuffers& buffers, const View& scalars, const RowBatch& rows)
      : backend_(backend),
        shape_(shape),
        system_(system),
        b_(buffers),
        scalars_(scalars),
        rows_{rows.blocks, rows.scale, shape.mode},
        damped_(backend, system_, scalars) {}

  /// u, before anything else is done with rows that are centred in any way. `weights` (N), float64;
  /// none: the rows' common factor does not matter, and sqrt(w_n) is their scale.
  void load_centre(const ConstView& weights = {}) const;
  /// K, of centred rows where asked for, and what centring takes from its trace.
  void gram() const;
  void factorize() const;

  /// d = m + S^T y, (K + shift I) y = r - S m, by push-through. `r` (N) float64; `based`: m stands
  /// in the buffers' direction.
  void solve_rows(const ConstView& r, bool based) const;

  /// From g in the buffers' gradient: in the dual form d = (g - S^T t) / shift, (K + shift I) t = S
  /// g, which needs shift > 0; in the primal one the system itself.
  void solve_gradient() const;

  /// In the dual form, turns d of maximum likelihood, r_n = sqrt(w_n), into that of the centred
  /// Fisher matrix.
  void centre_fisher(const ConstView& r) const;

  /// Residual, error bound and outcome.
  void judge() const;

  /// z = S v of centred rows, and g = S^T y, whose y it centres in place.
  void apply(const ConstView& v, const View& z) const;
  void adjoint(const View& y, double beta, const View& g) const;

  const SolveBuffers& buffers() const { return b_; }
  const SystemBuffers& system() const { return system_; }
  const SolveShape& shape() const { return shape_; }
  View field(double StepScalars::*name) const { return scalar(scalars_, name); }
  const RowBatch& rows() const { return rows_; }

 private:
  void solve_dual() const;
  void refine() const;

  Backend& backend_;
  const SolveShape& shape_;
  const SystemBuffers& system_;
  const SolveBuffers& b_;
  View scalars_;
  RowBatch rows_;
  DampedSystem damped_;
};

/// What the scalars say of a solve.
inline SolveReport solve_report(const StepScalars& s, Form form) {
  return {.outcome = static_cast<Outcome>(static_cast<int>(s.outcome)),
          .form = form,
          .damping = s.damping,
          .residual = s.residual,
          .error_bound = s.error_bound,
          .quadratic_form = s.quadratic_form};
}

}  // namespace natgrad::detail
