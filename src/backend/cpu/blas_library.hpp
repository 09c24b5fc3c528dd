#pragma once

extern "C" {
#include <cblas.h>
void spotrf_(const char* uplo, const int* n, float* a, const int* lda, int* info);
void dpotrf_(const char* uplo, const int* n, double* a, const int* lda, int* info);
void spotrs_(const char* uplo, const int* n, const int* nrhs, const float* a, const int* lda,
             float* b, const int* ldb, int* info);
void dpotrs_(const char* uplo, const int* n, const int* nrhs, const double* a, const int* lda,
             double* b, const int* ldb, int* info);
void dsyevd_(const char* jobz, const char* uplo, const int* n, double* a, const int* lda, double* w,
             double* work, const int* lwork, int* iwork, const int* liwork, int* info);
}

namespace natgrad::blas {

/// The functions of BLAS and LAPACK that the library calls.
struct Functions {
  decltype(&cblas_sgemm) sgemm;
  decltype(&cblas_dgemm) dgemm;
  decltype(&cblas_ssyrk) ssyrk;
  decltype(&cblas_dsyrk) dsyrk;
  decltype(&cblas_sgemv) sgemv;
  decltype(&cblas_dgemv) dgemv;
  decltype(&cblas_ssymv) ssymv;
  decltype(&cblas_dsymv) dsymv;
  decltype(&spotrf_) spotrf;
  decltype(&dpotrf_) dpotrf;
  decltype(&spotrs_) spotrs;
  decltype(&dpotrs_) dpotrs;
  decltype(&dsyevd_) dsyevd;
};

/// They, from a BLAS that is loaded at the first call (NATGRAD_LOAD_BLAS) or linked. A loaded one
/// stays out of the process's global symbols: other libraries bring a BLAS of their own whose
/// functions have the same names and other calling conventions, as LibTorch does, and the names
/// that they use must not lead here, nor ours there, whatever is linked in which order. Throws
/// `DeviceError` where there is no such library.
const Functions& functions();

/// A function of that library by its name; null where it has none, or cannot be loaded.
void* find_function(const char* name);

}  // namespace natgrad::blas
