#pragma once

#include "backend/backend.hpp"
#include "core/arena.hpp"
#include "curvature/fisher_operator.hpp"
#include "kernels/formulas/solve.hpp"
#include "kernels/formulas/step.hpp"
#include "natgrad/context.hpp"
#include "natgrad/scores.hpp"
#include "natgrad/structure.hpp"
#include "natgrad/types.hpp"
#include "scores/score_set.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

namespace natgrad::detail {

/// One tensor of the parameters, and where its numbers stand among the P of S, d and g.
struct ParameterTensor {
  View theta;
  std::int64_t offset = 0;
  double l2 = 1;  // factor of eta
};

/// How much of a batch one call sees.
enum class Phase : std::uint8_t {
  whole,   ///< all rows, which are only viewed, and their solve
  part,    ///< adding some of the rows, of which something is kept
  finish,  ///< the solve of what the parts have left
};

/// Everything that the memory and the work of a call follow from, known on the host.
struct BatchShape {
  std::span<const LayerUse> uses = {};
  std::int64_t rows = 0;        // of this call
  std::int64_t batch_rows = 0;  // N, of the whole batch
  std::int64_t parameters = 0;  // P
  Phase phase = Phase::whole;
  Centering centering = Centering::none;
  bool gradient_given = false;      // g is P numbers; else S^T r of these rows
  bool coefficients_given = false;  // a solve brings other coefficients than the rows'
  bool has_previous = false;        // the solve starts from a previous direction (SPRING)
  bool measures = false;            // `measure` will be asked for another vector than d
  bool inverts = false;             // `inverse_diagonal` will be asked for, of a finished batch
  std::int64_t gradients = 1;       // how many are given one after another, of a finished batch
  bool bounds_form = false;         // d^T F d decides a rate, so that its rounding counts
  bool damped = true;               // lambda + eta > 0
  double l2 = 0;                    // eta
  // eta is no part of the shift: it has factors, or the shift is not of one unit.
  bool l2_by_tensor = false;
  std::span<const ParameterTensor> tensors = {};  // all of the P numbers
};

/// Where a curvature takes its memory from. Each is run without memory to count.
struct CurvatureMemory {
  Carver& kept;     // what parts add to
  Carver& system;   // the matrix, its factor and the scalars of its solves
  Carver& scratch;  // what one call needs while it runs
};

/// Rows to add: `set` knows scale, weights and r of its rows, `uses` are its layers, perhaps
/// without those of frozen parameters.
struct RowInput {
  const ScoreSet& set;
  std::span<const LayerUse> uses;
};

enum class Lifetime : std::uint8_t {
  borrowed,  ///< the views stay valid until the solve's work has run
  copied,    ///< what is needed of them must be copied
};

/// The right-hand side of (F + shift I) (d - m) = g - F m, m = decay `previous` - (eta / shift)
/// theta. g is S^T r, or what `Curvature::gradient` holds where the shape says that it is given.
struct RightHandSide {
  ConstView coefficients = {};  // c (N) in place of the rows'; sample space only
  ConstView previous = {};      // (P) of the parameters' type
  double decay = 0;
  std::int64_t substituted = -1;  // which of `Curvature::substitute` it is; -1: none
};

/// What is fixed when an optimizer or a Fisher matrix is built.
struct CurvatureOptions {
  Structure structure = Structure::full;
  DampingScaling scaling = DampingScaling::identity;  // the unit D of the damping
  /// Block diagonal: the tensors of each block by their places in `BatchShape::tensors`; none:
  /// those that one use of a layer names together, and each tensor that no use names alone.
  std::vector<std::vector<std::size_t>> groups = {};
  Form form = Form::automatic;
  ElementType type = ElementType::float32;  // of the parameters and their rows
  std::optional<ElementType> gram_type = {};
  int refinement = 0;
  bool allow_tf32 = false;
  std::int64_t tile_rows = 256;  // rows materialized at a time
};

/// What may follow a solve of a batch in one call, with its factor and rows still at hand. Scalars
/// and direction of the solve stay as they are.
class RepeatedSolve {
 public:
  virtual ~RepeatedSolve() = default;
  /// product = S d (N) float64 of the direction that `solve` left; before `solve_again`.
  virtual void multiply_direction(const View& product) = 0;
  /// x = (F + shift I)^-1 S^T r (P) of the parameters' type, r (N) float64. One product with the
  /// rows.
  virtual void solve_again(const ConstView& r, const View& x) = 0;
};

/// The damped matrix F + lambda D + eta E of a batch in some structure, and its solves. Everything
/// is enqueued and nothing reads back: what became of a solve stands in `scalars`. The calls of a
/// step come in this order: `layout`, `accumulate`, `factorize`, `solve`, perhaps `measure`,
/// `judge`. A batch in parts repeats `layout` (of the part) and `accumulate`, and begins the solve
/// with a `layout` of the whole. After `factorize` any number of solves may follow.
class Curvature {
 public:
  virtual ~Curvature() = default;

  /// Takes the memory of one call. Run with carvers that only count it computes what a plan
  /// reports, so that plan and use cannot differ.
  virtual void layout(const CurvatureMemory& memory, const BatchShape& shape) = 0;
  /// Allocates what parts of such a batch keep beside the `kept` memory.
  virtual void reserve(const BatchShape& shape) = 0;
  /// Bytes that `reserve` allocates for such a batch.
  virtual std::int64_t reserved_bytes(const BatchShape& shape) const = 0;

  /// Adds S^T S of the rows, and their S^T r to the gradient. Throws `ShapeError` or
  /// `MemoryError`, having added nothing where it is still `intact`, and `DeviceError`, after which
  /// everything must be forgotten.
  virtual void accumulate(const RowInput& rows, Lifetime lifetime) = 0;
  /// Whether no `accumulate` has failed half way since the last `forget`.
  virtual bool intact() const { return true; }
  /// Damps and factorizes; `damping` is an address of the device.
  virtual void factorize(const DampingState* damping) = 0;
  /// P numbers where the caller writes a gradient that is given, after `layout`; uphill in log p.
  virtual View gradient() const = 0;
  /// Solves for `direction`.
  virtual void solve(const RightHandSide& rhs) = 0;
  /// How many gradients `substitute` takes, after a `layout` with `gradients`; 0: none, each is
  /// solved for alone.
  virtual std::int64_t substitutes() const { return 0; }
  /// Substitutes the rows of `gradients` (R, P), of the parameters' type, times `scale` in one
  /// call, after `factorize`. Then each of them is written to `gradient` and solved for with
  /// `.substituted`, in which its solution is there already.
  virtual void substitute(const ConstView& /*gradients*/, double /*scale*/) {}
  /// d (P) of the parameters' type. The caller may change it in place.
  virtual View direction() const = 0;
  /// Replaces d^T F d in the scalars by that of v (P) of the parameters' type, after a `layout`
  /// with `measures`.
  virtual void measure(const ConstView& v) = 0;
  /// The same solve, for another right-hand side; null for structures other than the full one.
  virtual RepeatedSolve* repeated() { return nullptr; }
  /// Residual, error bound and outcome of the solve, into the scalars.
  virtual void judge() = 0;
  /// A `SolveScalars`.
  virtual View scalars() const = 0;
  /// The system that is solved; `automatic` where blocks differ or nothing is decided.
  virtual Form form() const = 0;
  /// F of the accumulated rows, to look at after a `layout` with `measures`. Valid until the next
  /// call.
  virtual const FisherOperator& fisher() = 0;
  /// diagonal = that of (F + shift I)^-1, (P) float64, after a `layout` that `inverts` and in which
  /// a gradient is given; undefined on an outcome other than `accepted`. `known`: eigenvalues and
  /// eigenvectors, which it adds where it needs them. Takes the place of `factorize` and `solve`,
  /// takes memory of its own, and waits.
  virtual Outcome inverse_diagonal(const DampingState* damping, Eigensystem& known,
                                   const View& diagonal) = 0;
  /// Drops the rows that were accumulated; keeps their memory.
  virtual void forget() = 0;
};

/// The curvature of the structure that the options ask for.
std::unique_ptr<Curvature> make_curvature(const Context& context, const CurvatureOptions& options);

/// One field of a struct of doubles on the device as an operand.
template <class Struct>
View scalar(const View& of, double Struct::*field) {
  auto* s = reinterpret_cast<Struct*>(of.as<double>());
  return {&(s->*field), {1, 1}, {.device = of.device()}};
}

/// The same struct as formulas take it.
template <class Struct>
Struct* address(const View& of) {
  return of.empty() ? nullptr : reinterpret_cast<Struct*>(of.as<double>());
}

/// to += a theta, tensor by tensor, a constant with the tensor's factor of eta; nothing where a is
/// the constant 0. `to` (P).
void add_parameters(Backend& backend, std::span<const ParameterTensor> tensors, Scalar a,
                    const View& to);

/// b += shift m, which makes (F + shift I) (d - m) = g - F m the system (F + shift I) d = b.
/// `solve` is a SolveScalars, `element` one float64 of scratch, b (P).
void add_start(Backend& backend, const BatchShape& shape, const RightHandSide& rhs,
               const View& solve, const View& element, const View& b);

/// Ends a solve whose direction is handed out as it is: judges it, copies its scalars to `solve` (a
/// SolveScalars), and writes to `step` (a StepScalars) whether it is accepted: a direction that
/// overflows its type is none.
void judge_direction(Backend& backend, Curvature& curvature, const View& step, const View& solve);

/// The outcome that `judge` left. Waits.
Outcome judged_outcome(Backend& backend, const Curvature& curvature);

/// Row i of a matrix as (n, 1).
template <class AnyView>
AnyView row_as_column(const AnyView& matrix, std::int64_t i) {
  const AnyView row = matrix.row_range(i, 1);
  return {row.data(), row.type(), {row.columns(), 1}, {.device = row.device()}};
}

/// Half the spacing of numbers at 1: what storing a number in a type loses at most, relative to it.
inline double half_epsilon(ElementType type) {
  return type == ElementType::float64 ? 0x1p-53 : 0x1p-24;
}

/// Room for one such struct.
template <class Struct>
View take_scalars(Carver& carver) {
  return carver.take({static_cast<std::int64_t>(sizeof(Struct) / sizeof(double)), 1},
                     ElementType::float64);
}

}  // namespace natgrad::detail
