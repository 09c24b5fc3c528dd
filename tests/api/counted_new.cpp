#include "api/counted_new.hpp"

#include <cstddef>
#include <cstdlib>
#include <new>

namespace natgrad::tests {

std::atomic<std::int64_t> news{0};
std::atomic<std::int64_t> refused_new{0};
std::atomic<std::int64_t> held{0};

}  // namespace natgrad::tests

namespace {

using natgrad::tests::held;
using natgrad::tests::news;
using natgrad::tests::refused_new;

void* counted(std::size_t bytes, std::size_t alignment) {
  if (++news == refused_new) return nullptr;
  ++held;
  const std::size_t whole = (bytes + alignment - 1) / alignment * alignment;
  return std::aligned_alloc(alignment, whole == 0 ? alignment : whole);
}

void* counted_or_throw(std::size_t bytes, std::size_t alignment) {
  void* memory = counted(bytes, alignment);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

void release(void* memory) {
  if (memory != nullptr) --held;
  std::free(memory);
}

constexpr std::size_t plain = alignof(std::max_align_t);

}  // namespace

// The array forms of the standard library call these.
void* operator new(std::size_t bytes) { return counted_or_throw(bytes, plain); }
void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept {
  return counted(bytes, plain);
}
void* operator new(std::size_t bytes, std::align_val_t alignment) {
  return counted_or_throw(bytes, static_cast<std::size_t>(alignment));
}
void* operator new(std::size_t bytes, std::align_val_t alignment, const std::nothrow_t&) noexcept {
  return counted(bytes, static_cast<std::size_t>(alignment));
}
void operator delete(void* memory) noexcept { release(memory); }
void operator delete(void* memory, std::size_t) noexcept { release(memory); }
void operator delete(void* memory, const std::nothrow_t&) noexcept { release(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { release(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { release(memory); }
void operator delete(void* memory, std::align_val_t, const std::nothrow_t&) noexcept {
  release(memory);
}
