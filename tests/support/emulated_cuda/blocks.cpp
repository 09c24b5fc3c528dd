#include "kernels/cuda/launch.hpp"
#include "support/emulated_cuda/fibers.hpp"
#include "support/emulated_cuda/memory.hpp"
#include "support/emulated_cuda/shared_memory.hpp"
#include "support/emulated_cuda/streams.hpp"

#include <cuda_runtime_api.h>

#include <cstdint>
#include <cstdlib>
#include <cxxabi.h>
#include <string>
#include <typeinfo>
#include <utility>

// Kernels: one block after another. Every second block runs its threads in descending order, and
// every second launch of a stream begins with one that does, so that what depends on the order of
// threads shows.

namespace natgrad::emulated_cuda {

namespace {

using KernelBody = std::function<void(const kernels::Thread&)>;

std::string kernel_name(const std::type_info& type) {
  int status = 0;
  char* name = abi::__cxa_demangle(type.name(), nullptr, nullptr, &status);
  std::string result = status == 0 ? name : type.name();
  std::free(name);
  return result;
}

using kernels::Extent;
using kernels::Thread;

struct Launch {
  std::string name;
  Extent blocks;
  Extent threads;
  bool synchronizes = false;
  std::int64_t number = 0;  // in its stream
};

bool valid(Extent blocks, Extent threads, unsigned most_threads) {
  const std::uint64_t count = std::uint64_t{threads.x} * threads.y;
  return count > 0 && count <= most_threads && count <= 1024 && blocks.x > 0 && blocks.y > 0 &&
         blocks.x < (1U << 31) && blocks.y <= 65535;
}

/// One block. Returns how many threads a barrier of it waited for in vain.
std::size_t run_block(const Launch& launch, Extent block, const KernelBody& body) {
  const std::size_t count = std::size_t{launch.threads.x} * launch.threads.y;
  const bool descending = (launch.number + block.x + block.y * std::int64_t{launch.blocks.x}) % 2;
  const auto thread = [&](std::size_t i) {
    const Extent index{static_cast<unsigned>(i % launch.threads.x),
                       static_cast<unsigned>(i / launch.threads.x)};
    body({index, launch.threads, block, launch.blocks});
  };
  if (launch.synchronizes) return Fibers::of_this_thread().run(count, descending, thread);
  for (std::size_t i = 0; i < count; ++i) thread(descending ? count - 1 - i : i);
  return 0;
}

void run_grid(const Launch& launch, const KernelBody& body) {
  SharedMemory& shared = SharedMemory::of_this_thread();
  std::size_t missing = 0;
  for (unsigned y = 0; y < launch.blocks.y; ++y) {
    for (unsigned x = 0; x < launch.blocks.x; ++x) {
      shared.begin_block();
      const std::size_t ended = run_block(launch, {x, y}, body);
      shared.end_block(launch.name);
      if (missing == 0) missing = ended;
    }
  }
  if (missing > 0) {
    fail(launch.name, ": a barrier was not reached by all threads of a block: ", missing,
         " had ended or were elsewhere");
  }
}

}  // namespace

}  // namespace natgrad::emulated_cuda

namespace natgrad::kernels::emulated {

using namespace emulated_cuda;

void barrier() {
  Fibers& fibers = Fibers::of_this_thread();
  if (fibers.running()) return fibers.barrier();
  fail("a kernel that says that it does not synchronize waits at a barrier");
}

void group_barrier(const Thread& thread, unsigned width) {
  Fibers& fibers = Fibers::of_this_thread();
  const bool valid = width > 0 && width <= 32 && (width & (width - 1)) == 0 &&
                     thread.threads.x * thread.threads.y % width == 0;
  if (!valid) fail("a group of ", width, " threads has no barrier of its own");
  if (fibers.running() && valid) return fibers.group_barrier(width);
  if (valid) fail("a kernel that says that it does not synchronize waits at a barrier");
}

void* shared(const void* key, std::size_t bytes, std::size_t alignment) {
  return SharedMemory::of_this_thread().array(key, bytes, alignment);
}

cudaError_t launch(Stream stream, Extent blocks, Extent threads, LaunchedKernel kernel) {
  Lock lock = lock_state();
  if (!valid(blocks, threads, kernel.most_threads)) return remember(cudaErrorInvalidConfiguration);
  Queue* queue = find_queue(stream);
  if (queue == nullptr || queue->device != current_device()) {
    return remember(cudaErrorInvalidResourceHandle);
  }
  ++state().counters.launches;
  if (is_due(state().work_to_failure)) return remember(cudaErrorUnknown);
  const Launch launch{kernel_name(kernel.type), blocks, threads, kernel.synchronizes,
                      queue->launches++};
  std::vector<std::int64_t> memory = name_arguments(kernel.arguments);
  enqueue(lock, *queue, {launch.name, std::move(memory), [launch, body = std::move(kernel.body)] {
                           run_grid(launch, body);
                         }});
  return cudaSuccess;
}

}  // namespace natgrad::kernels::emulated
