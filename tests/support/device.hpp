#pragma once

#include "natgrad/natgrad.hpp"

#include <cstddef>
#include <vector>

// The device that an executable was linked for, by device_cpu.cpp or device_cuda.cpp: the tests
// themselves are compiled once for all.

namespace natgrad::tests {

Context test_context(Context::Options options = {});
Device test_device();

/// Memory that host and device both reach, aligned to 64 bytes at least. Freeing it waits for the
/// device, which may not be done with it.
void* allocate_shared(std::size_t bytes);
void free_shared(void* memory, std::size_t bytes);

/// Waits for all work of all contexts: only then may the host look at shared memory, or change what
/// the work reads.
void synchronize_device();

template <class T>
struct SharedAllocator {
  using value_type = T;
  SharedAllocator() = default;
  template <class U>
  SharedAllocator(const SharedAllocator<U>&) {}  // NOLINT(google-explicit-constructor)

  T* allocate(std::size_t count) { return static_cast<T*>(allocate_shared(count * sizeof(T))); }
  void deallocate(T* memory, std::size_t count) { free_shared(memory, count * sizeof(T)); }
  friend bool operator==(const SharedAllocator&, const SharedAllocator&) { return true; }
};

template <class T>
using SharedVector = std::vector<T, SharedAllocator<T>>;

template <Element T>
View shared_view(SharedVector<T>& memory, Shape shape) {
  return {memory.data(), shape, {.device = test_device()}};
}
template <Element T>
ConstView shared_view(const SharedVector<T>& memory, Shape shape) {
  return {memory.data(), shape, {.device = test_device()}};
}

/// The elements of a contiguous array of the context's device.
template <Element T>
std::vector<T> host_copy(const Context& context, const ConstView& array) {
  array.as<T>();  // throws where they are of another type
  std::vector<T> elements(static_cast<std::size_t>(array.size()));
  context.read(array, elements.data());
  return elements;
}

}  // namespace natgrad::tests
