#include "natgrad/process.hpp"

#include <gtest/gtest.h>

// Not gtest's own main: the BLAS may have chosen kernels of another processor, and then the tests
// would prove those.
int main(int argc, char** argv) {
  natgrad::apply_blas_advice(argv, natgrad::Waiting::passive);
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
