#include "other_blas.h"

/* A BLAS of another convention, as MKL's is: zdotc_ writes its result through a pointer that comes
 * first, where OpenBLAS returns it in registers. */
void zdotc_(double* result, const int* n, const double* x, const int* x_stride, const double* y,
            const int* y_stride) {
  double real = 0;
  double imaginary = 0;
  for (int i = 0; i < *n; ++i) {
    const double* a = x + 2 * i * *x_stride;
    const double* b = y + 2 * i * *y_stride;
    real += a[0] * b[0] + a[1] * b[1];
    imaginary += a[0] * b[1] - a[1] * b[0];
  }
  result[0] = real;
  result[1] = imaginary;
}
