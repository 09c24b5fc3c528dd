#include "c/handles.hpp"
#include "c/train.h"

#include <gtest/gtest.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <new>

// On the CPU alone: the memory is the host's.

namespace natgrad::tests {

namespace {

/// What a context's caller gives and is told.
struct Memory {
  std::int64_t held = 0;
  std::int64_t allocations = 0;
};

TEST(c_interface, contexts_take_memory_from_the_caller) {
  Memory memory;
  auto options = defaults<natgrad_context_options>(natgrad_context_options_init);
  options.allocator_user = &memory;
  options.allocate = [](void* user, std::size_t bytes, void*) -> void* {
    auto& all = *static_cast<Memory*>(user);
    ++all.allocations;
    all.held += static_cast<std::int64_t>(bytes);
    return operator new (bytes, std::align_val_t{64}, std::nothrow);
  };
  natgrad_context* context = nullptr;
  EXPECT_EQ(natgrad_context_cpu(&options, &context), NATGRAD_ERROR_OPTION) << "half an allocator";
  options.deallocate = [](void* user, void* block, std::size_t bytes, void*) {
    static_cast<Memory*>(user)->held -= static_cast<std::int64_t>(bytes);
    operator delete (block, std::align_val_t{64});
  };
  {
    const auto own = made<natgrad_context>(natgrad_context_cpu, &options);
    std::array<double, regression_size> theta = {0.1, -0.2, 0.3, 0.4};
    EXPECT_EQ(regression_train(own.get(), 2, theta.data()), 0) << natgrad_error_text();
  }
  EXPECT_GT(memory.allocations, 2);
  EXPECT_EQ(memory.held, 0);
}

}  // namespace

}  // namespace natgrad::tests
