#include "support/emulated_cuda/memory.hpp"

#include "support/emulated_cuda/streams.hpp"

#include <algorithm>
#include <cstring>
#include <map>
#include <new>

namespace natgrad::emulated_cuda {

namespace {

constexpr std::int64_t fence_bytes = 256;
constexpr std::align_val_t alignment{256};

/// By address. Blocks that queued work may still use after a failure are in nobody's table.
struct Table {
  std::map<std::uintptr_t, Allocation> allocations;
  std::vector<std::byte*> abandoned;
  std::int64_t next_id = 0;
};

Table& table() {
  static auto* table = new Table;
  return *table;
}

std::uintptr_t address(const void* data) { return reinterpret_cast<std::uintptr_t>(data); }

/// NaN in float and double, of other bits than fresh memory.
std::byte fence_byte(std::int64_t i) { return std::byte(i % 2 == 0 ? 0xFD : 0xFF); }

void write_fence(std::byte* fence) {
  for (std::int64_t i = 0; i < fence_bytes; ++i) fence[i] = fence_byte(i);
}

/// The first byte that was written to, or -1.
std::int64_t broken_at(const std::byte* fence) {
  for (std::int64_t i = 0; i < fence_bytes; ++i) {
    if (fence[i] != fence_byte(i)) return i;
  }
  return -1;
}

void check_fence(const Allocation& allocation, std::byte* fence) {
  const std::int64_t broken = broken_at(fence);
  if (broken < 0) return;
  fail("memory was written at byte ", fence + broken - allocation.data, " of an array of ",
       allocation.bytes);
  write_fence(fence);
}

void check_fences(const Allocation& allocation) {
  check_fence(allocation, allocation.data - fence_bytes);
  check_fence(allocation, allocation.data + allocation.bytes);
}

}  // namespace

cudaError_t allocate(void** data, std::int64_t bytes, cudaMemoryType type) {
  *data = nullptr;
  ++state().counters.allocations;
  const int device = current_device();
  if (is_due(state().allocations_to_failure) || bytes < 0 ||
      bytes > state().device_bytes - allocated_device_bytes(device)) {
    return cudaErrorMemoryAllocation;
  }
  if (bytes == 0) return cudaSuccess;
  const auto total = static_cast<std::size_t>(bytes + 2 * fence_bytes);
  auto* block = static_cast<std::byte*>(::operator new(total, alignment, std::nothrow));
  if (block == nullptr) return cudaErrorMemoryAllocation;
  std::memset(block, 0xFF, total);
  const Allocation made{table().next_id++, block + fence_bytes, bytes, type, device};
  write_fence(block);
  write_fence(made.data + bytes);
  table().allocations.emplace(address(made.data), made);
  *data = made.data;
  return cudaSuccess;
}

bool is_allocated(std::int64_t id) {
  const auto& all = table().allocations;
  return std::any_of(all.begin(), all.end(), [&](const auto& entry) {
    return entry.second.id == id && !entry.second.free_queued;
  });
}

Allocation* find_allocation(const void* data) {
  auto& allocations = table().allocations;
  auto after = allocations.upper_bound(address(data));
  if (after == allocations.begin()) return nullptr;
  Allocation& found = std::prev(after)->second;
  return address(data) < address(found.data) + found.bytes ? &found : nullptr;
}

Allocation* find_freeable(const char* call, const void* data, cudaMemoryType type,
                          cudaMemoryType other) {
  Allocation* found = find_allocation(data);
  if (found == nullptr) {
    fail(call, ": ", data, " is no memory of the device's, or was freed before");
  } else if (found->data != data) {
    fail(call, ": ", data, " is not where its allocation begins");
  } else if (found->type != type && found->type != other) {
    fail(call, ": ", data, " is memory of another kind");
  } else if (found->free_queued) {
    fail(call, ": ", data, " was freed before");
  } else {
    return found;
  }
  return nullptr;
}

void release(Allocation& allocation) {
  check_fences(allocation);
  std::byte* block = allocation.data - fence_bytes;
  const std::string user = queued_work_naming(allocation.id);
  if (user.empty()) {
    ::operator delete(block, alignment);
  } else {
    fail("memory (", static_cast<const void*>(allocation.data), ", ", allocation.bytes,
         " bytes) was freed that queued work names: ", user);
    table().abandoned.push_back(block);
  }
  table().allocations.erase(address(allocation.data));
}

void check_fences() {
  for (const auto& [begin, allocation] : table().allocations) check_fences(allocation);
}

std::int64_t allocation_count() { return static_cast<std::int64_t>(table().allocations.size()); }

std::int64_t allocated_bytes() {
  std::int64_t bytes = 0;
  for (const auto& [begin, allocation] : table().allocations) bytes += allocation.bytes;
  return bytes;
}

std::int64_t allocated_device_bytes(int device) {
  std::int64_t bytes = 0;
  for (const auto& [begin, allocation] : table().allocations) {
    const bool own = allocation.device == device && allocation.type != cudaMemoryTypeHost;
    bytes += own ? allocation.bytes : 0;
  }
  return bytes;
}

std::vector<std::int64_t> name_operands(const std::string& call,
                                        std::initializer_list<Operand> operands, bool& known) {
  known = true;
  std::vector<std::int64_t> ids;
  for (const auto& [name, data, bytes] : operands) {
    if (bytes == 0) continue;
    const Allocation* found = find_allocation(data);
    if (found == nullptr || found->free_queued) {
      fail(call, ": ", name, " (", data, ") is no memory of the device's");
      known = false;
    } else if (address(data) + bytes > address(found->data) + found->bytes) {
      fail(call, ": ", name, " is ", bytes, " bytes long and passes the end of its memory by ",
           address(data) + bytes - address(found->data) - found->bytes);
      known = false;
    } else {
      ids.push_back(found->id);
    }
  }
  return ids;
}

std::vector<std::int64_t> name_arguments(std::span<const std::byte> arguments) {
  std::vector<std::int64_t> ids;
  for (std::size_t i = 0; i + sizeof(void*) <= arguments.size(); i += sizeof(void*)) {
    const void* word;
    std::memcpy(&word, arguments.data() + i, sizeof word);
    if (const Allocation* found = find_allocation(word)) ids.push_back(found->id);
  }
  return ids;
}

}  // namespace natgrad::emulated_cuda
