#pragma once

#include "backend/cuda/cuda_backend.hpp"
#include "support/trial.hpp"

#include <cstddef>
#include <memory>

// A CUDA device: an emulated one or a real one, as a test is linked.

namespace natgrad::tests {

inline Allocator device_memory() {
  return {.allocate = [](std::size_t bytes, void*) -> void* {
            void* memory = nullptr;
            cuda::check(cudaMalloc(&memory, bytes), "an operand");
            return memory;
          },
          .deallocate = [](void* memory, std::size_t, void*) { cudaFree(memory); }};
}

inline TestDevice make_device(const cuda::GramRule& rule = {}) {
  const auto memory = std::make_shared<const Allocator>(device_memory());
  return {.backend =
              std::make_unique<CudaBackend>(std::make_shared<cuda::StreamHandle>(), memory, rule),
          .memory = *memory};
}

}  // namespace natgrad::tests
