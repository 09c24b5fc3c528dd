#include "support/emulated_cuda/shared_memory.hpp"

#include "support/emulated_cuda/state.hpp"

#include <algorithm>
#include <cstring>

namespace natgrad::emulated_cuda {

namespace {

constexpr std::size_t fence_bytes = 64;
constexpr std::size_t most_bytes = 48 << 10;  // without asking for more, on any device
constexpr std::byte fence{0xFD};

}  // namespace

SharedMemory& SharedMemory::of_this_thread() {
  static thread_local SharedMemory memory;
  return memory;
}

SharedMemory::~SharedMemory() {
  for (const Array& array : arrays_) ::operator delete(array.data, array.alignment);
}

void SharedMemory::begin_block() {
  for (Array& array : arrays_) array.used = false;
}

void* SharedMemory::array(const void* key, std::size_t bytes, std::size_t alignment) {
  auto found = std::find_if(arrays_.begin(), arrays_.end(),
                            [&](const Array& array) { return array.key == key; });
  if (found == arrays_.end()) {
    const std::align_val_t aligned{std::max<std::size_t>(alignment, 16)};
    auto* data = static_cast<std::byte*>(::operator new(bytes + fence_bytes, aligned));
    found = arrays_.insert(arrays_.end(), {key, bytes, aligned, data});
  }
  if (!found->used) {
    std::memset(found->data, 0xFF, bytes);
    std::memset(found->data + bytes, static_cast<int>(fence), fence_bytes);
    found->used = true;
  }
  return found->data;
}

void SharedMemory::end_block(const std::string& kernel) {
  std::size_t total = 0;
  for (const Array& array : arrays_) {
    if (!array.used) continue;
    total += array.bytes;
    const std::byte* end = array.data + array.bytes;
    if (std::any_of(end, end + fence_bytes, [](std::byte b) { return b != fence; })) {
      fail(kernel, ": a block wrote past a shared array of ", array.bytes, " bytes");
    }
  }
  if (total > most_bytes) fail(kernel, ": a block shares ", total, " bytes, more than any may");
}

}  // namespace natgrad::emulated_cuda
