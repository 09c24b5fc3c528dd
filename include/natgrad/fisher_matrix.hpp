#pragma once

#include "natgrad/array.hpp"
#include "natgrad/damping.hpp"
#include "natgrad/export.hpp"
#include "natgrad/parameters.hpp"
#include "natgrad/scores.hpp"
#include "natgrad/spectrum.hpp"
#include "natgrad/structure.hpp"
#include "natgrad/types.hpp"

#include <cstdint>
#include <memory>
#include <optional>

namespace natgrad {

/// Coefficients c_n of accumulated rows; the direction solved for is (F + lambda I)^-1 S^T r with
/// r_n = sqrt(w_n) c_n. Empty: the coefficients that came with the rows (1 by default).
struct Coefficients {
  /// (rows accumulated, 1) of the parameters' type or float64, in their order, rows perhaps apart;
  /// dual form only.
  ConstView view = {};
  Owner owner = {};  ///< of `view`, held until the work of the solve has run
};

/// How one solve went.
struct SolveReport {
  Outcome outcome = Outcome::accepted;  ///< never `rejected`
  Structure structure = Structure::full;
  Form form = Form::dual;  ///< `automatic` where the blocks of a matrix differ
  double damping = 0;      ///< lambda as used
  /// |b - (A + lambda I) x| / |b| of the system solved; refined: from the rows. Of a singular
  /// system that refinement moves away from its solution beyond all numbers, that of the unrefined
  /// x; infinite where x is not finite.
  double residual = 0;
  /// Relative error of d: of an unrefined solve an estimate, eps times a condition number of A +
  /// lambda I (docs/accuracy.md); refined, a bound that follows from the residual. At damping 0
  /// inverse iteration tells it; infinite there for refined solves.
  double error_bound = 0;
  double quadratic_form = 0;  ///< d^T F d
};

/// The Fisher matrix F = sum_n w_n s_n s_n^T of rows accumulated in batches, without an
/// optimizer: solve, apply, and look at it. Centred rows make it that of the centred rows.
///
/// Primal: F itself, P x P, accumulated in double whatever the rows' type, in memory that does not
/// depend on the number of rows. Dual: the rows are kept (layer factors for `LayerScores`: N sum(T
/// (d_in + d_out)) numbers) and K = S S^T, N x N, is formed at the first solve.
///
/// `Form::automatic` takes the form with the smaller estimate of operations to accumulate and
/// factorize (those in double count twice), unless it needs more than four times the memory of the
/// other; damping 0 with P <= N is always primal, and so is P < N, where K is singular, within that
/// memory.
///
/// `Structure::block_diagonal`: F is zero outside the blocks of its groups. Each block is a
/// matrix with its form and, where damping is relative, the lambda of its trace.
/// `Structure::diagonal`: F is zero outside its diagonal, P doubles whatever N is, 2 N P operations
/// to accumulate; form and refinement have no meaning. All that follows is then of that F.
class NATGRAD_EXPORT FisherMatrix {
 public:
  struct Options {
    Structure structure = Structure::full;  ///< which part of F is taken for the whole
    /// Block diagonal: groups that together name every segment once. Empty: each layer's weight and
    /// bias, as the uses of the first rows name them; what layers share joins them, and each tensor
    /// of dense rows is a group.
    ParameterGroups groups = {};
    Form form = Form::automatic;  ///< of the whole matrix, or of every block; not dual for diagonal
    Damping damping = {};
    /// Rows that will be accumulated in all. 0: the whole batch that the first set states, its
    /// `batch_samples`. The dual form takes no more than these.
    std::int64_t samples = 0;
    /// Rows materialized at once in primal accumulation; more are faster and take P doubles each,
    /// of a diagonal at most 8 MiB together.
    std::int64_t tile_rows = 256;
    /// Dual form: type of K and its factor; default: the parameters'. Double costs twice, and is
    /// exact to 1e-16 |K| / lambda. Where anything is centred it is always double.
    std::optional<ElementType> gram_type = {};
    /// Dual form: so many times the solution is corrected by its residual, computed from the rows
    /// in double. Each costs two passes over the rows in double, and gains where the `error_bound`
    /// of an unrefined solve is well below 1; else take `gram_type`. 0 to 1000.
    int refinement = 0;
    /// Dual form: products of float rows may take NVIDIA's TF32, whose factors have eleven
    /// significant bits, on GPUs that have it; elsewhere nothing changes. K errs by up to 4e-3 |K|
    /// then, dense rows by half of that, so that lambda must be well above, or `refinement` > 0,
    /// which corrects it; the `error_bound` knows.
    bool allow_tf32 = false;
  };
  /// Throws `OptionError` naming every option that is wrong, groups for a structure that has none
  /// included, and `ArgumentError` without parameters or for groups that are empty, overlap, leave
  /// a segment out or name one that does not exist.
  explicit FisherMatrix(Parameters parameters);
  FisherMatrix(Parameters parameters, Options options);
  ~FisherMatrix();
  FisherMatrix(FisherMatrix&&) noexcept;
  FisherMatrix& operator=(FisherMatrix&&) noexcept;
  FisherMatrix(const FisherMatrix&) = delete;
  FisherMatrix& operator=(const FisherMatrix&) = delete;

  std::int64_t size() const;     ///< P
  std::int64_t samples() const;  ///< rows accumulated since the last `reset`
  Form form() const;  ///< `automatic` until the first rows decide, or where blocks differ

  /// Forgets all rows; keeps the memory. What the first rows had decided (form, groups, and the
  /// size of the batch where `.samples` is 0) the next ones decide anew. Does not wait.
  void reset();

  /// Adds S^T S of these scores (weights applied here), and S^T r to the gradient that
  /// `solve(Coefficients{})` uses. Primal: N P^2 operations and no memory beyond one tile of rows;
  /// a block the same with P its size, a diagonal 2 N P operations, more where rows have several
  /// terms or are centred. Dual: a copy of the rows. Does not wait. Throws `ArgumentError` when the
  /// scores are of other parameters, their set is empty or differently centred, `ShapeError` when
  /// the dual form has no room for more rows or kept others' layers, `MemoryError` without room;
  /// nothing was added then. A driver that fails half way (`DeviceError`) may leave no rows at all:
  /// see `samples`.
  void accumulate(const Scores& scores);

  /// Writes d = (F + lambda I)^-1 S^T r, P contiguous numbers of the parameters' type. The
  /// factorization is kept until rows are added or the damping changes: P^3 / 3 (primal) or N^3 / 3
  /// (dual) operations once, then 2 P^2 or 2 N^2 and one pass over the rows. On an outcome other
  /// than `accepted`, `direction` is left as it was. Does not wait. Throws `ArgumentError` without
  /// rows, when their coefficients make no gradient, or when coefficients are given in the primal
  /// form, of a single block too, which keeps no rows; `ShapeError`, `TypeError` or `DeviceError`
  /// for an operand that does not fit, `MemoryError` without room.
  void solve(const Coefficients& coefficients, const View& direction);

  /// Writes d = (F + lambda I)^-1 g for any gradient g of P contiguous numbers, or for several:
  /// `gradient.view` and `direction` are then (R, P), a right-hand side in each row, rows perhaps
  /// apart, and row by row the numbers of R calls up to rounding. `.scale` is finite
  /// (`OptionError`). In the dual form d is (g - S^T t) / lambda with (K + lambda I) t = S g, which
  /// cancels: see `error_bound`; it needs lambda > 0 (`ArgumentError` where every part of it is 0).
  /// The factorization is kept until rows are added or the damping changes: P^3 / 3 (primal) or N^3
  /// / 3 (dual) operations once, then for every g 4 P^2, or 4 N^2 and two passes over the rows. The
  /// full matrix in the primal form takes `.tile_rows` of several g together, by products of
  /// matrices and with scratch of two such arrays in double. On an outcome other than `accepted`,
  /// that row of `direction` is left as it was. Does not wait. Throws `ArgumentError` also without
  /// rows, with `Centering::fisher_only`, which goes with the rows' own coefficients, and for a
  /// `direction` that overlaps several gradients but is not them; `ShapeError`, `TypeError` or
  /// `DeviceError` for an operand that does not fit, `MemoryError` without room.
  void solve(const Gradient& gradient, const View& direction);

  /// Changes lambda for the next solves; K or F is kept, its factor is not. Does not wait. Throws
  /// `OptionError` for a negative or non-finite part, and for another `Damping::scaling` than the
  /// options'.
  void set_damping(const Damping& damping);

  // What follows throws `ArgumentError` without rows, `ShapeError`, `TypeError` or `DeviceError`
  // for an operand that does not fit, and `MemoryError` without room.

  /// F v, both P contiguous numbers of the parameters' type, apart from each other. 2 P^2 or 2 N P
  /// operations, fewer by layers. Does not wait.
  void apply(const ConstView& v, const View& product) const;

  /// v^T F v, the squared Fisher norm of v: P contiguous numbers of the parameters' type. 2 P^2 or
  /// N P operations, fewer by layers. Waits.
  double quadratic_form(const ConstView& v) const;
  /// The trace of F. P operations, dual N P. Waits.
  double trace() const;
  /// The P diagonal elements of F, contiguous, of the parameters' type. P operations, dual N P.
  /// Does not wait.
  void diagonal(const View& diagonal) const;
  /// F as a full (P, P) array of the parameters' type or double, rows perhaps apart; zeros outside
  /// the structure. P^2 operations, dual N P^2. Does not wait.
  void to_dense(const View& matrix) const;

  /// The eigenvalues of F, without damping, in double whatever the rows' type; with their rank,
  /// condition and log determinant. Primal from F; dual from K = S S^T in double, whose non-zero
  /// eigenvalues are those of F; of a block-diagonal matrix those of its blocks. About 9 n^3
  /// operations, n = P or N, dual also those of K; errors are at most (n + 4 sqrt(N)) eps |F|
  /// (docs/accuracy.md). The n^2 numbers of the eigenvectors are kept until rows are added, 2 n^2
  /// more are taken while it runs. Waits. Throws `ShapeError` too: on the CPU n is at most 32766,
  /// what LAPACK's 32-bit workspace holds.
  Spectrum spectrum() const;

  /// Writes the P diagonal elements of (F + lambda I)^-1: the variances of maximum-likelihood
  /// estimates where F is the Fisher matrix of the sum over the samples (weights of 1) and lambda =
  /// 0. `diagonal`: P contiguous numbers of the parameters' type or double. Primal, from the
  /// Cholesky factor: 7/3 P^3 operations, with an error that does not depend on the parameters'
  /// units. Dual, from the eigenvectors of K, 9 N^3 + 2 N^2 P operations: of F of full rank, lambda
  /// perhaps 0, sum_k (S^T v_k)^2 / (mu_k (mu_k + lambda)); of a singular one (1 - sum_k (S^T
  /// v_k)^2 / (mu_k + lambda)) / lambda, which cancels: its absolute error is up to (N + 4
  /// sqrt(N)) eps |F| / lambda^2, and no element is below 1 / (F_ii + lambda). Returns
  /// `not_positive_definite` where F + lambda I is numerically singular and `not_finite` where it
  /// is not finite: `diagonal` is left as it was then. The report of the last solve stays. Waits.
  /// Throws `ArgumentError` also for damping that is scaled.
  [[nodiscard]] Outcome inverse_diagonal(const View& diagonal);

  /// Writes d = F^+ g, of all d that minimize |F d - g| the one of least norm, without damping: g
  /// is `gradient.scale` times P contiguous numbers of the parameters' type, and F^+ takes the
  /// eigenvalues above `tolerance` (>= 0, `OptionError`) times the largest one of F, those that
  /// `Spectrum::rank(tolerance)` counts. Primal sum_k v_k (v_k^T g) / mu_k; dual S^T sum_k v_k
  /// (v_k^T S g) / mu_k^2. What `spectrum` costs, where the eigenvectors are not known yet, then
  /// 4 n^2 operations, dual and two passes over the rows. Returns `not_finite` where F or g is not
  /// finite, or d overflows: `direction` is left as it was then. The report of the last solve
  /// stays. Waits.
  [[nodiscard]] Outcome least_norm(const Gradient& gradient, double tolerance,
                                   const View& direction) const;

  /// How the last solve went; of a block-diagonal matrix, and of several right-hand sides, the
  /// largest lambda, residual and error bound, the sum of their d^T F d, and the first outcome that
  /// is not `accepted`. Waits. Throws `ArgumentError` before the first solve.
  SolveReport report() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace natgrad
