#include "support/emulated_cuda/libraries.hpp"
#include "support/emulated_cuda/memory.hpp"
#include "support/emulated_cuda/state.hpp"
#include "support/emulated_cuda/streams.hpp"

#include <cuda_runtime_api.h>

#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

// Memory and copies of the runtime.

using namespace natgrad::emulated_cuda;

namespace {

cudaError_t allocate_checked(void** data, std::size_t bytes, cudaMemoryType type) {
  const Lock lock = lock_state();
  const cudaError_t status = device_status();
  if (status != cudaSuccess) return remember(status);
  return remember(allocate(data, static_cast<std::int64_t>(bytes), type));
}

cudaError_t free_checked(const char* call, void* data, cudaMemoryType type, cudaMemoryType other) {
  if (data == nullptr) return cudaSuccess;
  const Lock lock = lock_state();
  ++state().counters.frees;
  Allocation* found = find_freeable(call, data, type, other);
  if (found == nullptr) return remember(cudaErrorInvalidValue);
  release(*found);
  return cudaSuccess;
}

enum class Side : std::uint8_t { host, pinned, device };

Side side_of(const void* data) {
  const Allocation* found = find_allocation(data);
  if (found == nullptr) return Side::host;
  return found->type == cudaMemoryTypeHost ? Side::pinned : Side::device;
}

/// Whether the addresses of a copy are where its kind says. Managed memory may be either.
bool fits(cudaMemcpyKind kind, const Allocation* to, const Allocation* from) {
  const auto on_device = [](const Allocation* a) {
    return a != nullptr && a->type != cudaMemoryTypeHost;
  };
  const auto on_host = [](const Allocation* a) {
    return a == nullptr || a->type != cudaMemoryTypeDevice;
  };
  switch (kind) {
    case cudaMemcpyHostToHost:
      return on_host(to) && on_host(from);
    case cudaMemcpyHostToDevice:
      return on_device(to) && on_host(from);
    case cudaMemcpyDeviceToHost:
      return on_host(to) && on_device(from);
    case cudaMemcpyDeviceToDevice:
      return on_device(to) && on_device(from);
    default:
      return true;
  }
}

/// A copy from the host compares what it finds with what was there at the call.
std::function<void()> copy_work(void* to, const void* from, std::size_t bytes, bool from_host) {
  if (!from_host) return [=] { std::memmove(to, from, bytes); };
  auto before = std::make_shared<std::vector<std::byte>>(bytes);
  std::memcpy(before->data(), from, bytes);
  return [=] {
    if (std::memcmp(before->data(), from, bytes) != 0) {
      fail("a host buffer of ", bytes, " bytes changed between the call and its copy");
    }
    std::memcpy(to, before->data(), bytes);
  };
}

cudaError_t enqueue_copy(Lock& lock, Queue& queue, void* to, const void* from, std::size_t bytes,
                         cudaMemcpyKind kind) {
  const Allocation* target = find_allocation(to);
  const Allocation* source = find_allocation(from);
  if (!fits(kind, target, source)) return cudaErrorInvalidValue;
  // Of managed memory the kind says which side is meant.
  const bool to_host =
      kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyHostToHost || side_of(to) != Side::device;
  const bool from_host = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyHostToHost ||
                         side_of(from) != Side::device;
  state().counters.device_copies += to_host ? 0 : 1;
  state().counters.host_copies += to_host && !from_host ? 1 : 0;
  if (bytes == 0) return cudaSuccess;
  const auto size = static_cast<std::int64_t>(bytes);
  const Operand operands[] = {{"the target", to, target != nullptr ? size : 0},
                              {"the source", from, source != nullptr ? size : 0}};
  const bool known = enqueue_call(lock, queue, "cudaMemcpyAsync", {operands[0], operands[1]},
                                  copy_work(to, from, bytes, from_host));
  return known ? cudaSuccess : cudaErrorInvalidValue;
}

/// Runs when the stream comes to it.
void free_in_order(const void* data) {
  const Lock lock = lock_state();
  release(*find_allocation(data));
}

}  // namespace

cudaError_t cudaMalloc(void** data, std::size_t bytes) {
  return allocate_checked(data, bytes, cudaMemoryTypeDevice);
}

cudaError_t cudaMallocManaged(void** data, std::size_t bytes, unsigned) {
  return allocate_checked(data, bytes, cudaMemoryTypeManaged);
}

cudaError_t cudaHostAlloc(void** data, std::size_t bytes, unsigned) {
  return allocate_checked(data, bytes, cudaMemoryTypeHost);
}

cudaError_t cudaMallocAsync(void** data, std::size_t bytes, cudaStream_t stream) {
  {
    const Lock lock = lock_state();
    Queue* queue = find_queue(stream);
    if (queue == nullptr) return remember(cudaErrorInvalidResourceHandle);
    if (refuse_captured(*queue)) {
      fail("cudaMallocAsync within a capture: that memory is there only while the graph runs");
      return remember(cudaErrorStreamCaptureUnsupported);
    }
  }
  return allocate_checked(data, bytes, cudaMemoryTypeDevice);
}

cudaError_t cudaFree(void* data) {
  return free_checked("cudaFree", data, cudaMemoryTypeDevice, cudaMemoryTypeManaged);
}

cudaError_t cudaFreeHost(void* data) {
  return free_checked("cudaFreeHost", data, cudaMemoryTypeHost, cudaMemoryTypeHost);
}

cudaError_t cudaFreeAsync(void* data, cudaStream_t stream) {
  if (data == nullptr) return cudaSuccess;
  Lock lock = lock_state();
  ++state().counters.frees;
  Queue* queue = find_queue(stream);
  if (queue == nullptr) return remember(cudaErrorInvalidResourceHandle);
  Allocation* found =
      find_freeable("cudaFreeAsync", data, cudaMemoryTypeDevice, cudaMemoryTypeDevice);
  if (found == nullptr) return remember(cudaErrorInvalidValue);
  if (refuse_captured(*queue)) {
    fail("cudaFreeAsync within a capture, of memory that the graph did not allocate");
    return remember(cudaErrorStreamCaptureUnsupported);
  }
  found->free_queued = true;
  enqueue(lock, *queue, {"cudaFreeAsync", {}, [data] { free_in_order(data); }});
  return cudaSuccess;
}

cudaError_t cudaMemGetInfo(std::size_t* free, std::size_t* total) {
  const Lock lock = lock_state();
  const cudaError_t status = device_status();
  if (status != cudaSuccess) return remember(status);
  *total = static_cast<std::size_t>(state().device_bytes);
  *free = static_cast<std::size_t>(state().device_bytes - allocated_device_bytes(current_device()));
  return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream) {
  Lock lock = lock_state();
  Queue* queue = find_queue(stream);
  if (queue == nullptr) return remember(cudaErrorInvalidResourceHandle);
  return remember(enqueue_copy(lock, *queue, to, from, bytes, kind));
}

cudaError_t cudaMemcpy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind) {
  Lock lock = lock_state();
  ++state().counters.synchronizations;
  Queue* queue = find_queue(nullptr);
  const cudaError_t status = enqueue_copy(lock, *queue, to, from, bytes, kind);
  drain(lock, *queue);
  check_fences();
  return remember(status);
}

cudaError_t cudaMemsetAsync(void* data, int value, std::size_t bytes, cudaStream_t stream) {
  Lock lock = lock_state();
  Queue* queue = find_queue(stream);
  if (queue == nullptr) return remember(cudaErrorInvalidResourceHandle);
  const bool known = enqueue_call(lock, *queue, "cudaMemsetAsync",
                                  {{"the array", data, static_cast<std::int64_t>(bytes)}},
                                  [=] { std::memset(data, value, bytes); });
  return remember(known ? cudaSuccess : cudaErrorInvalidValue);
}

cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* data) {
  const Lock lock = lock_state();
  const cudaError_t status = device_status();
  if (status != cudaSuccess) return remember(status);
  *attributes = {};
  const Allocation* found = find_allocation(data);
  attributes->type = found != nullptr ? found->type : cudaMemoryTypeUnregistered;
  attributes->device = found != nullptr ? found->device : cudaInvalidDeviceId;
  if (found == nullptr) return cudaSuccess;
  void* address = const_cast<void*>(data);
  attributes->devicePointer = address;
  attributes->hostPointer = found->type == cudaMemoryTypeDevice ? nullptr : address;
  return cudaSuccess;
}

namespace natgrad::emulated_cuda {

Live live() {
  const Lock lock = lock_state();
  return {.allocations = allocation_count(),
          .bytes = allocated_bytes(),
          .streams = streams().size(),
          .events = events().size(),
          .handles = blas_handle_count() + solver_handle_count()};
}

}  // namespace natgrad::emulated_cuda
