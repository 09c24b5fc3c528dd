#pragma once

#include "backend/types.hpp"
#include "natgrad/array.hpp"
#include "natgrad/types.hpp"

#include <cstdint>

namespace natgrad {

/// Dense matrices: products, the Cholesky factorization, triangles and sums of columns. All
/// operands of a call are of one type, float or double, unless said. Of a symmetric matrix one
/// triangle is read and written where one is named; the other may hold anything.
class BlasOperations {
 public:
  virtual ~BlasOperations() = default;

  /// C = a op(A) op(B) + b C. C (m, n), op(A) (m, k), op(B) (k, n); b = 0 ignores what C held.
  /// 2 m n k operations.
  virtual void gemm(Transpose transpose_a, Transpose transpose_b, double a, const ConstView& A,
                    const ConstView& B, double b, const View& C,
                    MathMode mode = MathMode::strict) = 0;

  /// One triangle of C = a A A^T + b C, A (n, k), or with `transpose` of C = a A^T A + b C, A
  /// (k, n). b = 0 ignores what C held. n^2 k operations.
  virtual void syrk(Triangle triangle, Transpose transpose, double a, const ConstView& A, double b,
                    const View& C) = 0;

  /// y = A x of symmetric A (n, n); x and y (n). 2 n^2 operations.
  virtual void symv(Triangle triangle, const ConstView& A, const ConstView& x, const View& y) = 0;

  /// Cholesky factorization of symmetric A (n, n) in place: A = L L^T of a lower triangle, A = U^T
  /// U of an upper one. info (1) float64 = 0, or > 0 where a pivot is not positive, and then A
  /// holds no factor. What NaN in A gives is unspecified: check before. `scratch` then holds what
  /// `potrs` takes beside the factor. n^3 / 3 operations.
  virtual void potrf(Triangle triangle, const View& A, const View& info, Scratch scratch) = 0;

  /// Bytes of scratch that `potrf` takes for a matrix of this size and type. Does not wait.
  virtual std::int64_t potrf_scratch(Triangle triangle, std::int64_t n,
                                     std::int64_t leading_dimension, ElementType type) const = 0;

  /// b = A^-1 b with the factor that `potrf` left in that triangle, and in `scratch`; b (n). 2 n^2
  /// operations.
  virtual void potrs(Triangle triangle, const ConstView& factor, const View& b,
                     Scratch scratch) = 0;

  /// From a factor that `potrf` left in the upper triangle of `factor`, U^T U = A + shift I, and
  /// the diagonal of A: result[0] = min_i U_ii^2 / (A_ii + shift), the smallest pivot as a share of
  /// its diagonal element, and result[1] = min_i U_ii^2; result (2) float64, computed in double.
  /// NaN where one of these numbers is, infinite for n = 0. Of both matrices (n, n) only the
  /// diagonal is read.
  virtual void smallest_pivots(const ConstView& A, Scalar shift, const ConstView& factor,
                               const View& result) = 0;

  /// A_ii += value, A (n, n).
  virtual void add_to_diagonal(Scalar value, const View& A) = 0;

  /// One triangle of A = flag > 0 ? A : I. Not a select between two arrays: an identity to select
  /// from would take another n^2 numbers.
  virtual void identity_unless(const ConstView& flag, Triangle triangle, const View& A) = 0;

  /// upper_ij = lower_ji for j >= i: copies a lower triangle to the upper one of the same array or
  /// of another; both (n, n).
  virtual void mirror(const ConstView& lower, const View& upper) = 0;

  /// Infinity norm (not finite where an element is not) and trace of symmetric A (n, n), both
  /// float64, accumulated in double. `lower` holds its lower triangle and `upper` the upper one,
  /// both with the diagonal; they may be one full array.
  virtual void norm_and_trace(const ConstView& lower, const ConstView& upper, const View& norm,
                              const View& trace) = 0;

  /// y = P y, P = I - u u^T / |u|^2, and P = I where |u|^2 is below the smallest normal double; u
  /// and y (n). The sums are accumulated in double.
  virtual void project(const ConstView& u, const View& y) = 0;

  /// One triangle of A = P A P for symmetric A (n, n) and the P of `project`. The caller passes A u
  /// as `product` (n). Not a product of (n, 2) factors by gemm: that would write both triangles, of
  /// which a caller may keep another matrix in the second. 4 n^2 operations.
  virtual void project_matrix(Triangle triangle, const ConstView& u, const ConstView& product,
                              const View& A) = 0;

  /// One triangle of A_ij = f_i A_ij f_j: a change of units. A (n, n), f (n). n^2 operations.
  virtual void scale_symmetric(Triangle triangle, const ConstView& factors, const View& A) = 0;

  /// B_ij = A_ij f_j, A and B (m, n) of one type, f (n); B may be A. Not a product with a diagonal
  /// matrix: that would be of n^2 numbers.
  virtual void scale_columns(const ConstView& A, const ConstView& factors, const View& B) = 0;

  /// result_j = factor sum_i A_ij; A (m, n), result (n). Not a product with ones: that would need m
  /// of them, and a matrix product with one row is slower.
  virtual void column_sums(double factor, const ConstView& A, const View& result) = 0;

  /// result_j = sum_i A_ij^2, plus what result_j held with `add`; A (m, n), result (n).
  virtual void column_squares(const ConstView& A, bool add, const View& result) = 0;

  /// Time of a matrix product or factorization in double over that of the same one in float with
  /// `MathMode::strict`. A model of the device, for choices between forms; nothing is measured.
  virtual double double_cost() const = 0;
};

}  // namespace natgrad
