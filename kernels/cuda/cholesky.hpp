#pragma once

#include "kernels/cuda/launch.hpp"

#include <cstdint>

// A Cholesky factorization in float, and its triangular solves, for matrices of a few thousand
// rows, which cuSOLVER leaves mostly to the latency of one processor.

namespace natgrad::kernels {

/// Rows that one launch of the factorization eliminates.
inline constexpr std::int64_t cholesky_rows = 64;

/// What the factorization leaves beside the factor, in one piece of device memory.
struct CholeskyScratch {
  float* diagonal;  // U_pp of every block of rows, (blocks, 64, 64), upper triangles
  float* inverse;   // U_pp^-T of every block of rows, (blocks, 64, 64)
  float* forward;   // what the blocks of the solves publish, (blocks, 64)
  float* backward;  // the same
  int* tickets;     // of the two solves

  static std::int64_t blocks(std::int64_t n) { return (n + cholesky_rows - 1) / cholesky_rows; }
  static std::int64_t bytes(std::int64_t n) { return 4 * Offsets(n).end; }
  CholeskyScratch(void* memory, std::int64_t n)
      : CholeskyScratch(static_cast<float*>(memory), Offsets(n)) {}

 private:
  /// In numbers of four bytes.
  struct Offsets {
    std::int64_t inverse;
    std::int64_t forward;
    std::int64_t backward;
    std::int64_t tickets;
    std::int64_t end;

    explicit Offsets(std::int64_t n)
        : inverse(blocks(n) * cholesky_rows * cholesky_rows),
          forward(2 * inverse),
          backward(forward + blocks(n) * cholesky_rows),
          tickets(backward + blocks(n) * cholesky_rows),
          end(tickets + 4) {}  // a multiple of 16 bytes
  };

  CholeskyScratch(float* numbers, const Offsets& offsets)
      : diagonal(numbers),
        inverse(numbers + offsets.inverse),
        forward(numbers + offsets.forward),
        backward(numbers + offsets.backward),
        tickets(reinterpret_cast<int*>(numbers + offsets.tickets)) {}
};

/// A = U^T U of a symmetric A in its upper triangle, where U takes its place. `info`, on the
/// device: 0, or the first row, counted from 1, whose leading minor is not positive; U is then not
/// to be used. One launch for every 64 rows, each of which adds the products of the 64 rows before
/// to what is left and eliminates its own.
void cholesky(Stream stream, const Matrix<float>& A, double* info, const CholeskyScratch& scratch);

/// b = (U^T U)^-1 b, by two launches in which each block waits for the rows before its own.
void cholesky_solve(Stream stream, const Matrix<const float>& U, float* b,
                    const CholeskyScratch& scratch);

}  // namespace natgrad::kernels
