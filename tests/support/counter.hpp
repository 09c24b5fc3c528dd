#pragma once

#include "natgrad/array.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>

namespace natgrad::tests {

/// A context's allocator that counts, and that can be told to refuse. Must outlive the context.
struct Counter {
  std::int64_t calls = 0;
  std::int64_t live = 0;  // bytes held now
  std::int64_t peak = 0;  // and at most so far
  bool exhausted = false;
  std::int64_t refused_call = 0;  // this one gets no memory, counted from 1; 0: none

  Allocator allocator() {
    return {.allocate = [this](std::size_t bytes, void*) -> void* {
              ++calls;
              if (exhausted || calls == refused_call) return nullptr;
              void* memory = std::aligned_alloc(64, (bytes + 63) / 64 * 64);
              if (memory == nullptr) return nullptr;
              live += static_cast<std::int64_t>(bytes);
              peak = std::max(peak, live);
              return memory;
            },
            .deallocate =
                [this](void* memory, std::size_t bytes, void*) {
                  live -= static_cast<std::int64_t>(bytes);
                  std::free(memory);
                }};
  }
};

}  // namespace natgrad::tests
