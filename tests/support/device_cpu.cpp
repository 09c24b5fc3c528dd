#include "support/device.hpp"

#include <new>
#include <utility>

namespace natgrad::tests {

namespace {

constexpr std::align_val_t alignment{64};

}  // namespace

Context test_context(Context::Options options) { return Context::cpu(std::move(options)); }

Device test_device() { return {}; }

void* allocate_shared(std::size_t bytes) { return ::operator new(bytes, alignment); }

void free_shared(void* memory, std::size_t) { ::operator delete(memory, alignment); }

void synchronize_device() {}

}  // namespace natgrad::tests
