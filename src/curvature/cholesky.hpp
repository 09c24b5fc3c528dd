#pragma once

#include "backend/backend.hpp"
#include "core/arena.hpp"
#include "kernels/formulas/solve.hpp"

#include <cstdint>

namespace natgrad::detail {

/// Damps, factorizes and solves (A + shift I) x = b with n unknowns (Cholesky). A keeps its lower
/// triangle and its factor the upper one of the same memory, shifted by some columns so that each
/// has a diagonal: n rows of little more than n numbers serve both, and A is there after the
/// factorization to measure what it solved. Everything is enqueued; what became of it stands in the
/// scalars.
class DampedCholesky {
 public:
  explicit DampedCholesky(Backend& backend) : backend_(backend) {}

  void layout(Carver& carver, std::int64_t n, ElementType type);
  /// Until the next `layout` the system is (A + E + shift I) x = b, E the diagonal matrix of
  /// `extra` (n) >= 0, which must stay there; norm, trace and product are of A alone.
  void use_extra(const View& extra) { extra_ = extra; }
  /// Of A and its factor: n + 16, rounded up to a multiple of 32, so that all rows begin at the
  /// same place in a line of cache.
  static std::int64_t leading_dimension(std::int64_t n) {
    return (n + factor_offset + 31) / 32 * 32;
  }

  /// From A in `matrix`: its norm and trace, lambda with `rank` = min(N, P) and what `mean` says of
  /// A, the factor, and its smallest pivot. A matrix that is not finite is replaced by I, because
  /// what a factorization of NaN does is unspecified. n^3 / 3 operations.
  void factorize(const DampingState* damping, double rank, MeanRule mean,
                 const CenteringScalars* centering);

  /// Estimates |(A + shift I)^-1| by inverse iteration, for a bound where the shift gives none.
  /// Overwrites the solution. 6 n^2 operations.
  void estimate_inverse();

  /// From `rhs` to `solution`. 2 n^2 operations.
  void substitute();

  /// x = (A + shift I)^-1 x for every row x of b (R, n). 2 R n^2 operations.
  void substitute_rows(const View& b);

  /// From `rhs`: `solution`, `product`, and |b|^2 and |b - (A + shift I) x|^2 in the scalars. 4 n^2
  /// operations.
  void solve();

  /// product = A x for every row x of `rows`; both (R, n). `square`: scratch, (B, B), by which A is
  /// cut into products of matrices. 2 R n^2 operations.
  void multiply_rows(const ConstView& rows, const View& square, const View& product);

  /// `solve` where the solution and A times it are known: (n) each.
  void solve_known(const ConstView& solution, const ConstView& product);

  /// Epsilon of the factorization.
  double epsilon() const;

  const View& matrix() const { return matrix_; }      // A (n, n), lower triangle
  const View& rhs() const { return rhs_; }            // b (n)
  const View& solution() const { return solution_; }  // x (n)
  const View& product() const { return product_; }    // A x (n)
  const View& residual() const { return residual_; }  // (n)
  const View& scalars() const { return scalars_; }    // a SolveScalars
  View field(double SolveScalars::*name) const;

 private:
  void measure_residual();

  /// Columns that the factor begins later than A: both diagonals have room, and rows lie at
  /// multiples of 64 bytes from each other's.
  static constexpr std::int64_t factor_offset = 16;

  Backend& backend_;
  std::int64_t size_ = 0;
  ElementType type_ = ElementType::float64;
  View extra_;  // (n), or none
  View matrix_;
  View factor_;  // U (n, n), upper triangle, U^T U = A + shift I
  View rhs_;
  View solution_;
  View product_;
  View residual_;
  View scalars_;
  Scratch work_;  // of the factorization
};

}  // namespace natgrad::detail
