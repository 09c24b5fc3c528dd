#include "other_blas.h"

/* Calls what the process's order of libraries takes for zdotc_. */
void other_vdot(int n, const double* x, const double* y, double* result) {
  const int one = 1;
  result[0] = 0;
  result[1] = 0;
  zdotc_(result, &n, x, &one, y, &one);
}
