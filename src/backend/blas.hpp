#pragma once

#include "backend/types.hpp"
#include "core/operands.hpp"
#include "natgrad/array.hpp"
#include "natgrad/types.hpp"

#include <cstdint>

namespace natgrad {

/// Memory, vectors and dense matrices: what BLAS and LAPACK offer, and what stands between their
/// calls.
class BlasOperations : public detail::DeviceMemory {
 public:
  // Memory.
  virtual void synchronize() = 0;
  /// Host to device and back, contiguous arrays. Both wait.
  virtual void upload(const void* host, const View& to) = 0;
  virtual void download(const ConstView& from, void* host) = 0;
  /// to = from, with leading dimensions and between T of two types (int32 only to int32).
  virtual void copy(const ConstView& from, const View& to) = 0;
  virtual void fill(double value, const View& to) = 0;
  /// to[i] = from[rows[i]]: rows (n) int32 within [0, from.rows()); from and to of any one type.
  virtual void gather_rows(const ConstView& from, const ConstView& rows, const View& to) = 0;
  // Vectors and elementwise work; also over matrices of one shape.
  /// y = a x + b y; b = 0 ignores what y held. x may be of the other T.
  virtual void axpby(Scalar a, const ConstView& x, Scalar b, const View& y) = 0;
  /// z_i = x_i y_i, also over matrices of one shape; z may be x or y. x and y are of one T, z of
  /// the same or double.
  virtual void multiply(const ConstView& x, const ConstView& y, const View& z) = 0;
  /// x_i = b_i / (f_i + shift) of a diagonal system, and 0 where the divisor is not positive or
  /// NaN; info = the number of these. Vectors of one T; x may be b. info is one float64.
  virtual void divide(const ConstView& f, Scalar shift, const ConstView& b, const View& x,
                      const View& info) = 0;
  /// result = sum x_i y_i, accumulated in double; also over whole contiguous matrices.
  virtual void dot(const ConstView& x, const ConstView& y, const View& result) = 0;
  /// result = product + shift x - b, what an x leaves of (A + shift I) x = b when product = A x;
  /// all (n). square = result . result, accumulated in double.
  virtual void residual(const ConstView& b, const ConstView& product, Scalar shift,
                        const ConstView& x, const View& result, const View& square) = 0;
  // Matrices.
  /// C = a op(A) op(B) + b C.
  virtual void gemm(Transpose transpose_a, Transpose transpose_b, double a, const ConstView& A,
                    const ConstView& B, double b, const View& C,
                    MathMode mode = MathMode::strict) = 0;
  /// C = a op(A) op(A)^T + b C, one triangle; transpose: A^T A of A (k, n).
  virtual void syrk(Triangle triangle, Transpose transpose, double a, const ConstView& A, double b,
                    const View& C) = 0;
  /// y = A x for symmetric A of which one triangle is read.
  virtual void symv(Triangle triangle, const ConstView& A, const ConstView& x, const View& y) = 0;
  /// Cholesky factor of one triangle of symmetric A in its place (lower: A = L L^T, upper: A = U^T
  /// U); info = 0, or > 0 when a pivot is not positive. What NaN gives is unspecified: check
  /// before.
  virtual void potrf(Triangle triangle, const View& A, const View& info, Scratch scratch) = 0;
  /// Bytes of scratch that it takes for (n, n) numbers of this type.
  virtual std::int64_t potrf_scratch(Triangle triangle, std::int64_t n,
                                     std::int64_t leading_dimension, ElementType type) const = 0;
  /// b = A^-1 b with the factor that `potrf` left in that triangle; b (n).
  virtual void potrs(Triangle triangle, const ConstView& factor, const View& b) = 0;
  /// From a factor that `potrf` left in the upper triangle of `factor`, U^T U = A + shift I, and
  /// the diagonal of A: result[0] = min_i U_ii^2 / (A_ii + shift), the smallest pivot as a share of
  /// its diagonal element, and result[1] = min_i U_ii^2; float64 (2), computed in double.
  /// NaN where one of these numbers is, infinite for n = 0. Of both matrices only the diagonal is
  /// read.
  virtual void smallest_pivots(const ConstView& A, Scalar shift, const ConstView& factor,
                               const View& result) = 0;
  /// A_ii += value.
  virtual void add_to_diagonal(Scalar value, const View& A) = 0;
  /// d_i = A_ii.
  virtual void diagonal(const ConstView& A, const View& d) = 0;
  /// upper_ij = lower_ji for j >= i: copies a lower triangle to the upper one of another (or the
  /// same) array.
  virtual void mirror(const ConstView& lower, const View& upper) = 0;
  /// Infinity norm (not finite when an element is not) and trace of a symmetric A, of which `lower`
  /// holds one triangle and `upper` the other, diagonals in both; they may be one full array.
  virtual void norm_and_trace(const ConstView& lower, const ConstView& upper, const View& norm,
                              const View& trace) = 0;
  /// y = P y with P = I - u u^T / |u|^2, and I where u is 0.
  virtual void project(const ConstView& u, const View& y) = 0;
  /// A = P A P of symmetric A, product = A u; one triangle of A.
  virtual void project_matrix(Triangle triangle, const ConstView& u, const ConstView& product,
                              const View& A) = 0;
  /// One triangle of A = flag > 0 ? A : identity.
  virtual void identity_unless(const ConstView& flag, Triangle triangle, const View& A) = 0;
  /// result_j = factor sum_i A_ij.
  virtual void column_sums(double factor, const ConstView& A, const View& result) = 0;
  /// result_j = sum_i A_ij^2 (+ result_j when `add`).
  virtual void column_squares(const ConstView& A, bool add, const View& result) = 0;
};

}  // namespace natgrad
