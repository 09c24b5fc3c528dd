#include "backend/cpu/blas.hpp"

#include "backend/cpu/blas_library.hpp"
#include "core/message.hpp"
#include "natgrad/error.hpp"

#include <algorithm>
#include <limits>
#include <type_traits>

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
auto select(Single for_float, Double for_double) {
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
  select<T>(functions().sgemm, functions().dgemm)(CblasRowMajor, cblas(ta), cblas(tb), checked(m),
                                                  checked(n), checked(k), alpha, a, leading(lda), b,
                                                  leading(ldb), beta, c, leading(ldc));
}

template <class T>
void syrk(Triangle triangle, Transpose transpose, std::int64_t n, std::int64_t k, T alpha,
          const T* a, std::int64_t lda, T beta, T* c, std::int64_t ldc) {
  select<T>(functions().ssyrk, functions().dsyrk)(CblasRowMajor, cblas(triangle), cblas(transpose),
                                                  checked(n), checked(k), alpha, a, leading(lda),
                                                  beta, c, leading(ldc));
}

template <class T>
void gemv(Transpose transpose, std::int64_t m, std::int64_t n, T alpha, const T* a,
          std::int64_t lda, const T* x, T beta, T* y) {
  select<T>(functions().sgemv, functions().dgemv)(CblasRowMajor, cblas(transpose), checked(m),
                                                  checked(n), alpha, a, leading(lda), x, 1, beta, y,
                                                  1);
}

template <class T>
void symv(Triangle triangle, std::int64_t n, const T* a, std::int64_t lda, const T* x, T* y) {
  select<T>(functions().ssymv, functions().dsymv)(CblasRowMajor, cblas(triangle), checked(n), T{1},
                                                  a, leading(lda), x, 1, T{0}, y, 1);
}

template <class T>
std::int64_t potrf(Triangle triangle, std::int64_t n, T* a, std::int64_t lda) {
  const int size = checked(n);
  const int stride = leading(lda);
  int info = 0;
  select<T>(functions().spotrf, functions().dpotrf)(lapack(triangle), &size, a, &stride, &info);
  return info;
}

template <class T>
void potrs(Triangle triangle, std::int64_t n, const T* factor, std::int64_t lda, T* b,
           std::int64_t count, std::int64_t ldb) {
  const int size = checked(n);
  const int stride = leading(lda);
  const int columns = checked(count);
  const int next = leading(ldb);
  int info = 0;
  select<T>(functions().spotrs, functions().dpotrs)(lapack(triangle), &size, &columns, factor,
                                                    &stride, b, &next, &info);
}

namespace {

/// What LAPACK documents for eigenvectors.
struct EigenWork {
  int numbers;
  int integers;

  explicit EigenWork(std::int64_t n) {
    constexpr std::int64_t most = 32766;  // 1 + 6 n + 2 n^2 < 2^31
    if (n > most) {
      throw ShapeError(detail::message("LAPACK: a matrix of ", n,
                                       " rows is beyond the 32-bit workspace of its eigenvalues (",
                                       most, " rows)"));
    }
    numbers = static_cast<int>(n < 2 ? 1 : 1 + 6 * n + 2 * n * n);
    integers = static_cast<int>(n < 2 ? 1 : 3 + 5 * n);
  }
};

}  // namespace

std::int64_t syevd_scratch(std::int64_t n) {
  const EigenWork work(n);
  return std::int64_t{8} * work.numbers + std::int64_t{4} * work.integers;
}

std::int64_t syevd(std::int64_t n, double* a, std::int64_t lda, double* w, Scratch scratch) {
  if (n == 0) return 0;
  const EigenWork work(n);
  const int size = checked(n);
  const int stride = leading(lda);
  auto* numbers = static_cast<double*>(scratch.data);
  auto* integers = reinterpret_cast<int*>(numbers + work.numbers);
  int info = 0;
  functions().dsyevd("V", lapack(Triangle::lower), &size, a, &stride, w, numbers, &work.numbers,
                     integers, &work.integers, &info);
  return info;
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
  template void potrs<T>(Triangle, std::int64_t, const T*, std::int64_t, T*, std::int64_t,    \
                         std::int64_t);
NATGRAD_INSTANTIATE(float)
NATGRAD_INSTANTIATE(double)
#undef NATGRAD_INSTANTIATE

}  // namespace natgrad::blas
