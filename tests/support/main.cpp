#include "natgrad/process.hpp"

#include <gtest/gtest.h>

#include <malloc.h>

namespace {

/// Freed memory stays with the process. By default every large array comes from the system and goes
/// back to it, and clearing its pages anew took a third of the time of the tests of the backend.
void keep_freed_memory() {
  mallopt(M_MMAP_MAX, 0);
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
}

}  // namespace

// Not gtest's own main: the BLAS may have chosen kernels of another processor, and then the tests
// would prove those.
int main(int argc, char** argv) {
  natgrad::apply_blas_advice(argv, natgrad::Waiting::passive);
  keep_freed_memory();
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
