#pragma once

#include "backend/backend.hpp"

#include <cstdint>

// The CPU's one place where row-major views meet BLAS and LAPACK, for float and double.
//
// Sizes beyond the 32-bit interface are a `ShapeError`.

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

/// Cholesky factor of one triangle in place; returns LAPACK's info.
template <class T>
std::int64_t potrf(Triangle triangle, std::int64_t n, T* a, std::int64_t lda);

/// x = A^-1 x with the factor of `potrf`.
template <class T>
void potrs(Triangle triangle, std::int64_t n, const T* factor, std::int64_t lda, T* x);

}  // namespace natgrad::blas
