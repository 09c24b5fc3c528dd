#include "backend/cuda/cuda_backend.hpp"
#include "support/operation_table.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>

// The operation table on a CUDA device: an emulated one or a real one, as this is linked.

namespace natgrad::tests {

namespace {

Allocator device_memory() {
  return {.allocate = [](std::size_t bytes, void*) -> void* {
            void* memory = nullptr;
            cuda::check(cudaMalloc(&memory, bytes), "an operand");
            return memory;
          },
          .deallocate = [](void* memory, std::size_t, void*) { cudaFree(memory); }};
}

TestDevice make_device() {
  const auto memory = std::make_shared<const Allocator>(device_memory());
  return {.backend =
              std::make_unique<CudaBackend>(std::make_shared<const cuda::StreamHandle>(), memory),
          .memory = *memory};
}

[[maybe_unused]] const bool cuda_is_registered = [] {
  register_operations("", make_device);
  return true;
}();

TEST(cuda_backend, a_double_costs_what_the_data_sheets_say) {
  EXPECT_EQ(cuda::double_cost(7, 0), 2) << "V100";
  EXPECT_EQ(cuda::double_cost(8, 0), 1) << "A100: tensor cores for double";
  EXPECT_EQ(cuda::double_cost(9, 0), 1) << "H100, H200";
  EXPECT_EQ(cuda::double_cost(10, 0), 2) << "B200";
  EXPECT_EQ(cuda::double_cost(7, 5), 32) << "T4";
  EXPECT_EQ(cuda::double_cost(8, 9), 64) << "L40";
  EXPECT_EQ(cuda::double_cost(10, 3), 64) << "B300";
  EXPECT_EQ(cuda::double_cost(12, 0), 64) << "RTX PRO 6000";
  int major = 0;
  int minor = 0;
  cuda::check(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, 0), "major");
  cuda::check(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, 0), "minor");
  EXPECT_EQ(make_device().backend->double_cost(), cuda::double_cost(major, minor));
}

TEST(cuda_backend, fewer_rows_take_no_more_scratch) {
  const TestDevice device = make_device();
  const Backend& backend = *device.backend;
  for (const LayerUse& layer :
       {LayerUse{.outputs = 128, .bias_offset = 0}, LayerUse{.outputs = 5000, .bias_offset = 0},
        LayerUse{.inputs = 64, .outputs = 64, .weight_offset = 0},
        LayerUse{.inputs = 9, .outputs = 16, .terms = 49}}) {
    for (const ElementType result : {ElementType::float32, ElementType::float64}) {
      std::int64_t before = 0;
      for (std::int64_t n = 1; n < 1000000; n += 1 + n / 7) {
        LayerUse block = layer;
        block.rows = n;
        const std::int64_t bytes =
            backend.rows_scratch({&block, 1}, n, ElementType::float32, result);
        EXPECT_GE(bytes, before) << n << " rows of " << block.inputs << "-" << block.outputs;
        before = bytes;
      }
    }
  }
}

}  // namespace

}  // namespace natgrad::tests
