#include "other_blas.h"

extern "C" void model_vdot(int n, const double* x, const double* y, double* result) {
  other_vdot(n, x, y, result);
}
