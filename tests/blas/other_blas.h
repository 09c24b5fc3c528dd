#ifndef NATGRAD_TESTS_BLAS_OTHER_BLAS_H
#define NATGRAD_TESTS_BLAS_OTHER_BLAS_H

/* A library with a BLAS in it, as LibTorch is one. */

#ifdef __cplusplus
extern "C" {
#endif

void zdotc_(double* result, const int* n, const double* x, const int* x_stride, const double* y,
            const int* y_stride);
/* The product of the conjugate of x with y, n complex numbers each. */
void other_vdot(int n, const double* x, const double* y, double* result);

#ifdef __cplusplus
}
#endif

#endif
