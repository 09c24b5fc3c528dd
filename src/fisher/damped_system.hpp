#pragma once

#include "backend/backend.hpp"
#include "core/arena.hpp"

#include <cstdint>

namespace natgrad::detail {

/// One field of the scalars as an operand of the seam.
inline View scalar(const View& scalars, double StepScalars::*field) {
  auto* s = reinterpret_cast<StepScalars*>(scalars.as<double>());
  return {&(s->*field), {1, 1}, {.device = scalars.device()}};
}

/// Memory of a symmetric system (A + shift I) x = b with n unknowns. A keeps its lower triangle and
/// its factor the upper one of the same memory, shifted by some columns so that each has a
/// diagonal: n (n + 16) numbers serve both, and A is there after the factorization to measure what
/// it solved.
struct SystemBuffers {
  /// Columns that the factor begins later than A: both diagonals have room, and rows lie at
  /// multiples of 64 bytes from each other's.
  static constexpr std::int64_t factor_offset = 16;
  /// Of A and its factor.
  static std::int64_t leading_dimension(std::int64_t n) { return n + factor_offset; }

  View matrix;    // A (n, n), lower triangle
  View factor;    // U (n, n), upper triangle, U^T U = A + shift I
  View rhs;       // b (n)
  View solution;  // x (n)
  View product;   // A x (n)
  View residual;  // (n)
  Scratch work;   // of the factorization

  SystemBuffers() = default;
  SystemBuffers(Carver& carver, std::int64_t n, ElementType type, std::int64_t work_bytes);
};

/// Damps, factorizes and solves such a system, in the order of the calls below. Everything is
/// enqueued; what became of it stands in the scalars: damping, norm, trace, info, residual.
class DampedSystem {
 public:
  DampedSystem(Backend& backend, const SystemBuffers& buffers, const View& scalars)
      : backend_(backend), b_(buffers), scalars_(scalars) {}

  /// From A in `matrix`: its norm and trace, lambda with `rank` = min(N, P) and what `mean` says of
  /// A, and the factor. A matrix that is not finite is replaced by I, for what a factorization of
  /// NaN does is unspecified. n^3 / 3 operations.
  void factorize(std::int64_t rank, MeanRule mean) const;

  /// From `rhs` to `solution`. 2 n^2 operations.
  void substitute() const;

  /// From `rhs`: `solution`, `product`, and |b|^2 and |b - (A + shift I) x|^2 in the scalars. 4 n^2
  /// operations.
  void solve() const;

 private:
  Backend& backend_;
  const SystemBuffers& b_;
  View scalars_;
};

}  // namespace natgrad::detail
