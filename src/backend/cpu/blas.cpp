#include "backend/cpu/blas.hpp"

#include <algorithm>
#include <limits>
#include <type_traits>

extern "C" {
#include <cblas.h>
void spotrf_(const char* uplo, const int* n, float* a, const int* lda, int* info);
void dpotrf_(const char* uplo, const int* n, double* a, const int* lda, int* info);
void spotrs_(const char* uplo, const int* n, const int* nrhs, const float* a, const int* lda,
             float* b, const int* ldb, int* info);
void dpotrs_(const char* uplo, const int* n, const int* nrhs, const double* a, const int* lda,
             double* b, const int* ldb, int* info);
}

#include "core/message.hpp"
#include "natgrad/error.hpp"

namespace natgrad::blas {

namespace {

int checked(std::int64_t size) {
  if (size > std::numeric_limits<int>::max()) {
    throw ShapeError(detail::message("BLAS: a dimension of ", size,
                                     " is beyond its 32-bit interface (2147483647)"));
  }
  return static_cast<int>(size);
}

/// A leading dimension: BLAS wants 1 where an array has no columns.
int leading(std::int64_t dimension) { return checked(std::max<std::int64_t>(1, dimension)); }

CBLAS_TRANSPOSE cblas(Transpose t) { return t == Transpose::yes ? CblasTrans : CblasNoTrans; }
CBLAS_UPLO cblas(Triangle t) { return t == Triangle::lower ? CblasLower : CblasUpper; }

/// Chooses the function for T.
template <class T, class Single, class Double>
constexpr auto select(Single for_float, Double for_double) {
  if constexpr (std::is_same_v<T, float>)
    return for_float;
  else
    return for_double;
}

/// LAPACK reads by columns what is stored by rows: the triangles change places.
const char* lapack(Triangle t) { return t == Triangle::lower ? "U" : "L"; }

}  // namespace

template <class T>
void gemm(Transpose ta, Transpose tb, std::int64_t m, std::int64_t n, std::int64_t k, T alpha,
          const T* a, std::int64_t lda, const T* b, std::int64_t ldb, T beta, T* c,
          std::int64_t ldc) {
  select<T>(cblas_sgemm, cblas_dgemm)(CblasRowMajor, cblas(ta), cblas(tb), checked(m), checked(n),
                                      checked(k), alpha, a, leading(lda), b, leading(ldb), beta, c,
                                      leading(ldc));
}

template <class T>
void syrk(Triangle triangle, Transpose transpose, std::int64_t n, std::int64_t k, T alpha,
          const T* a, std::int64_t lda, T beta, T* c, std::int64_t ldc) {
  select<T>(cblas_ssyrk, cblas_dsyrk)(CblasRowMajor, cblas(triangle), cblas(transpose), checked(n),
                                      checked(k), alpha, a, leading(lda), beta, c, leading(ldc));
}

template <class T>
void gemv(Transpose transpose, std::int64_t m, std::int64_t n, T alpha, const T* a,
          std::int64_t lda, const T* x, T beta, T* y) {
  select<T>(cblas_sgemv, cblas_dgemv)(CblasRowMajor, cblas(transpose), checked(m), checked(n),
                                      alpha, a, leading(lda), x, 1, beta, y, 1);
}

template <class T>
void symv(Triangle triangle, std::int64_t n, const T* a, std::int64_t lda, const T* x, T* y) {
  select<T>(cblas_ssymv, cblas_dsymv)(CblasRowMajor, cblas(triangle), checked(n), T{1}, a,
                                      leading(lda), x, 1, T{0}, y, 1);
}

template <class T>
std::int64_t potrf(Triangle triangle, std::int64_t n, T* a, std::int64_t lda) {
  const int size = checked(n);
  const int stride = leading(lda);
  int info = 0;
  select<T>(spotrf_, dpotrf_)(lapack(triangle), &size, a, &stride, &info);
  return info;
}

template <class T>
void potrs(Triangle triangle, std::int64_t n, const T* factor, std::int64_t lda, T* x) {
  const int size = checked(n);
  const int stride = leading(lda);
  const int one = 1;
  int info = 0;
  select<T>(spotrs_, dpotrs_)(lapack(triangle), &size, &one, factor, &stride, x, &stride, &info);
}

#define NATGRAD_INSTANTIATE(T)                                                                \
  template void gemm<T>(Transpose, Transpose, std::int64_t, std::int64_t, std::int64_t, T,    \
                        const T*, std::int64_t, const T*, std::int64_t, T, T*, std::int64_t); \
  template void syrk<T>(Triangle, Transpose, std::int64_t, std::int64_t, T, const T*,         \
                        std::int64_t, T, T*, std::int64_t);                                   \
  template void gemv<T>(Transpose, std::int64_t, std::int64_t, T, const T*, std::int64_t,     \
                        const T*, T, T*);                                                     \
  template void symv<T>(Triangle, std::int64_t, const T*, std::int64_t, const T*, T*);        \
  template std::int64_t potrf<T>(Triangle, std::int64_t, T*, std::int64_t);                   \
  template void potrs<T>(Triangle, std::int64_t, const T*, std::int64_t, T*);
NATGRAD_INSTANTIATE(float)
NATGRAD_INSTANTIATE(double)
#undef NATGRAD_INSTANTIATE

}  // namespace natgrad::blas
