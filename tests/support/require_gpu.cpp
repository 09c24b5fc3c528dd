#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

// Skips every test of an executable for a real GPU where there is none, and says so.

namespace natgrad::tests {

namespace {

class RequireGpu : public testing::Environment {
 public:
  void SetUp() override {
    int devices = 0;
    const cudaError_t status = cudaGetDeviceCount(&devices);
    if (status == cudaSuccess && devices > 0) return;
    GTEST_SKIP() << "SKIPPED without a GPU: " << cudaGetErrorString(status);
  }
};

[[maybe_unused]] const auto* required = testing::AddGlobalTestEnvironment(new RequireGpu);

}  // namespace

}  // namespace natgrad::tests
