#include "backend/cpu/blas.hpp"

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

int narrow(std::int64_t size) {
  if (size > std::numeric_limits<int>::max()) {
    throw ShapeError(detail::message("BLAS: a dimension of ", size,
                                     " is beyond its 32-bit interface (2147483647)"));
  }
  return static_cast<int>(size);
}

CBLAS_TRANSPOSE cblas(Transpose t) { return t == Transpose::yes ? CblasTrans : CblasNoTrans; }
CBLAS_UPLO cblas(Triangle t) { return t == Triangle::lower ? CblasLower : CblasUpper; }

/// LAPACK reads by columns what is stored by rows: the triangles change places.
const char* lapack(Triangle t) { return t == Triangle::lower ? "U" : "L"; }

}  // namespace

template <class T>
void gemm(Transpose ta, Transpose tb, std::int64_t m, std::int64_t n, std::int64_t k, T alpha,
          const T* a, std::int64_t lda, const T* b, std::int64_t ldb, T beta, T* c,
          std::int64_t ldc) {
  constexpr auto call = [] {
    if constexpr (std::is_same_v<T, float>) return cblas_sgemm;
    else return cblas_dgemm;
  }();
  call(CblasRowMajor, cblas(ta), cblas(tb), narrow(m), narrow(n), narrow(k), alpha, a, narrow(lda),
       b, narrow(ldb), beta, c, narrow(ldc));
}

template <class T>
void syrk(Triangle triangle, Transpose transpose, std::int64_t n, std::int64_t k, T alpha,
          const T* a, std::int64_t lda, T beta, T* c, std::int64_t ldc) {
  constexpr auto call = [] {
    if constexpr (std::is_same_v<T, float>) return cblas_ssyrk;
    else return cblas_dsyrk;
  }();
  call(CblasRowMajor, cblas(triangle), cblas(transpose), narrow(n), narrow(k), alpha, a,
       narrow(lda), beta, c, narrow(ldc));
}

template <class T>
void gemv(Transpose transpose, std::int64_t m, std::int64_t n, T alpha, const T* a,
          std::int64_t lda, const T* x, T beta, T* y) {
  constexpr auto call = [] {
    if constexpr (std::is_same_v<T, float>) return cblas_sgemv;
    else return cblas_dgemv;
  }();
  call(CblasRowMajor, cblas(transpose), narrow(m), narrow(n), alpha, a, narrow(lda), x, 1, beta, y,
       1);
}

template <class T>
void symv(Triangle triangle, std::int64_t n, const T* a, std::int64_t lda, const T* x, T* y) {
  constexpr auto call = [] {
    if constexpr (std::is_same_v<T, float>) return cblas_ssymv;
    else return cblas_dsymv;
  }();
  call(CblasRowMajor, cblas(triangle), narrow(n), T{1}, a, narrow(lda), x, 1, T{0}, y, 1);
}

template <class T>
std::int64_t potrf(Triangle triangle, std::int64_t n, T* a, std::int64_t lda) {
  const int size = narrow(n);
  const int leading = narrow(lda);
  int info = 0;
  if constexpr (std::is_same_v<T, float>) spotrf_(lapack(triangle), &size, a, &leading, &info);
  else dpotrf_(lapack(triangle), &size, a, &leading, &info);
  return info;
}

template <class T>
void potrs(Triangle triangle, std::int64_t n, const T* factor, std::int64_t lda, T* x) {
  const int size = narrow(n);
  const int leading = narrow(lda);
  const int one = 1;
  int info = 0;
  if constexpr (std::is_same_v<T, float>) {
    spotrs_(lapack(triangle), &size, &one, factor, &leading, x, &size, &info);
  } else {
    dpotrs_(lapack(triangle), &size, &one, factor, &leading, x, &size, &info);
  }
}

#define NATGRAD_INSTANTIATE(T)                                                                     \
  template void gemm<T>(Transpose, Transpose, std::int64_t, std::int64_t, std::int64_t, T,         \
                        const T*, std::int64_t, const T*, std::int64_t, T, T*, std::int64_t);      \
  template void syrk<T>(Triangle, Transpose, std::int64_t, std::int64_t, T, const T*,              \
                        std::int64_t, T, T*, std::int64_t);                                        \
  template void gemv<T>(Transpose, std::int64_t, std::int64_t, T, const T*, std::int64_t,          \
                        const T*, T, T*);                                                          \
  template void symv<T>(Triangle, std::int64_t, const T*, std::int64_t, const T*, T*);             \
  template std::int64_t potrf<T>(Triangle, std::int64_t, T*, std::int64_t);                                  \
  template void potrs<T>(Triangle, std::int64_t, const T*, std::int64_t, T*);
NATGRAD_INSTANTIATE(float)
NATGRAD_INSTANTIATE(double)
#undef NATGRAD_INSTANTIATE

}  // namespace natgrad::blas
