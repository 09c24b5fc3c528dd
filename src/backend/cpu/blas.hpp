#pragma once

#include "backend/backend.hpp"

#include <cstdint>

// Calls of BLAS and LAPACK on row-major arrays of float or double; nothing else calls them. A size
// beyond their 32-bit interface is a `ShapeError`.

namespace natgrad::blas {

/// C (m, n) = alpha op(A) op(B) + beta C, k the inner dimension.
template <class T>
void gemm(Transpose ta, Transpose tb, std::int64_t m, std::int64_t n, std::int64_t k, T alpha,
          const T* a, std::int64_t lda, const T* b, std::int64_t ldb, T beta, T* c,
          std::int64_t ldc);

/// One triangle of C (n, n) = alpha op(A) op(A)^T + beta C.
template <class T>
void syrk(Triangle triangle, Transpose transpose, std::int64_t n, std::int64_t k, T alpha,
          const T* a, std::int64_t lda, T beta, T* c, std::int64_t ldc);

/// y = alpha op(A) x + beta y for A (m, n).
template <class T>
void gemv(Transpose transpose, std::int64_t m, std::int64_t n, T alpha, const T* a,
          std::int64_t lda, const T* x, T beta, T* y);

/// y = A x for symmetric A (n, n).
template <class T>
void symv(Triangle triangle, std::int64_t n, const T* a, std::int64_t lda, const T* x, T* y);

/// Factorizes one triangle of a symmetric matrix in place (Cholesky); returns LAPACK's info.
template <class T>
std::int64_t potrf(Triangle triangle, std::int64_t n, T* a, std::int64_t lda);

/// x = A^-1 x with the factor that `potrf` left, for `count` rows x of b.
template <class T>
void potrs(Triangle triangle, std::int64_t n, const T* factor, std::int64_t lda, T* b,
           std::int64_t count, std::int64_t ldb);

/// Eigenvalues w (n), ascending, and eigenvectors, rows of a, of the symmetric matrix whose lower
/// triangle is in a; returns LAPACK's info.
std::int64_t syevd(std::int64_t n, double* a, std::int64_t lda, double* w, Scratch scratch);
/// Bytes of its workspace.
std::int64_t syevd_scratch(std::int64_t n);

}  // namespace natgrad::blas
