#pragma once

#include "support/emulated_cuda/state.hpp"

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <vector>

// The table of memory that the device knows. Every function is called under the state's lock.

namespace natgrad::emulated_cuda {

struct Allocation {
  std::int64_t id = 0;  // never used again, as an address may be
  std::byte* data = nullptr;
  std::int64_t bytes = 0;
  cudaMemoryType type = cudaMemoryTypeDevice;
  int device = 0;
  bool free_queued = false;
};

/// Fenced memory full of 0xFF, aligned to 256 bytes.
cudaError_t allocate(void** data, std::int64_t bytes, cudaMemoryType type);
/// Whether an allocation of this id was not freed.
bool is_allocated(std::int64_t id);
/// The allocation that holds an address, or nothing.
Allocation* find_allocation(const void* address);
/// The allocation that begins at an address, of one of two types; otherwise nothing, and a failure
/// where freeing is not to be had.
Allocation* find_freeable(const char* call, const void* data, cudaMemoryType type,
                          cudaMemoryType other);
/// Gives back. A failure where queued work names it; that work may still use it then.
void release(Allocation& allocation);
/// A failure for every fence that was written to.
void check_fences();

std::int64_t allocation_count();
/// Of all types, or of the current device's own memory.
std::int64_t allocated_bytes();
std::int64_t allocated_device_bytes(int device);

/// An array that work reads or writes.
struct Operand {
  const char* name;
  const void* data;
  std::int64_t bytes;
};
/// The allocations of a call's operands. A failure where one is no memory of the device's, or not
/// all of it; `known` is false then.
std::vector<std::int64_t> name_operands(const std::string& call,
                                        std::initializer_list<Operand> operands, bool& known);
/// The allocations that words of a kernel's arguments point into.
std::vector<std::int64_t> name_arguments(std::span<const std::byte> arguments);

}  // namespace natgrad::emulated_cuda
