#include "backend/cuda/cuda_backend.hpp"
#include "support/operation_table.hpp"

#include <gtest/gtest.h>

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

[[maybe_unused]] const bool cuda_is_registered = [] {
  register_operations("", [] {
    const auto memory = std::make_shared<const Allocator>(device_memory());
    return TestDevice{.backend = std::make_unique<CudaBackend>(
                          std::make_shared<const cuda::StreamHandle>(), memory),
                      .memory = *memory};
  });
  return true;
}();

}  // namespace

}  // namespace natgrad::tests
