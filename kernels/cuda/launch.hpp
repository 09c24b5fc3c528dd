#pragma once

#include "kernels/formulas/formula.hpp"
#include "natgrad/error.hpp"

#include <cuda_runtime_api.h>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <string>
#include <type_traits>
#ifndef __CUDACC__
#include <functional>
#include <span>
#include <typeinfo>
#endif

// How kernels are written and launched. A kernel is a struct: its members are its arguments, and
//
//   static constexpr bool synchronizes = false;    // whether it calls barrier()
//   static constexpr unsigned most_threads = 512;  // of a block, where not block_threads
//   NATGRAD_DEVICE void operator()(const Thread& thread) const;
//
// is what one thread does. nvcc compiles it for the device; g++ compiles the same source for the
// emulated device of the tests, which runs the threads of a block as fibers where the kernel
// synchronizes, and as a plain loop where it does not. Everything that only one of both compilers
// understands stands in this file.

#ifdef __CUDACC__
#define NATGRAD_DEVICE __device__ __forceinline__
#else
#define NATGRAD_DEVICE inline
#endif

namespace natgrad::kernels {

using Stream = cudaStream_t;

/// Threads of a block, or blocks of a grid.
struct Extent {
  unsigned x = 1;
  unsigned y = 1;
};

/// Where one thread stands.
struct Thread {
  Extent index;    // in its block
  Extent threads;  // of a block
  Extent block;    // in the grid
  Extent blocks;   // of the grid

  NATGRAD_DEVICE std::int64_t row() const { return std::int64_t{block.y} * threads.y + index.y; }
  NATGRAD_DEVICE std::int64_t column() const { return std::int64_t{block.x} * threads.x + index.x; }
  /// Of all threads along one axis: the stride of a loop that covers any size.
  NATGRAD_DEVICE std::int64_t rows() const { return std::int64_t{blocks.y} * threads.y; }
  NATGRAD_DEVICE std::int64_t columns() const { return std::int64_t{blocks.x} * threads.x; }
};

/// Threads of a block that has no reason for another number.
inline constexpr unsigned block_threads = 256;

/// The most threads that a block of a kernel has: its `most_threads`, where it has one. Told to the
/// compiler, which may else give a thread more registers than a larger block can have.
template <class Kernel>
inline constexpr unsigned most_threads = block_threads;
template <class Kernel>
requires requires { Kernel::most_threads; }
inline constexpr unsigned most_threads<Kernel> = Kernel::most_threads;

#ifdef __CUDACC__

/// All threads of the block, and what they wrote to shared memory, have come here.
NATGRAD_DEVICE void barrier() { __syncthreads(); }

/// N elements that the threads of a block share, uninitialized. Arrays of one kernel differ in
/// type, size or `slot`.
template <class T, int N, int slot = 0>
NATGRAD_DEVICE T* shared_array() {
  __shared__ T storage[N];
  return storage;
}

/// Everything written before is seen by the host before what is written after.
NATGRAD_DEVICE void fence_system() { __threadfence_system(); }

template <class Kernel>
__global__ void __launch_bounds__(most_threads<Kernel>) run(const __grid_constant__ Kernel kernel) {
  kernel(Thread{{threadIdx.x, threadIdx.y},
                {blockDim.x, blockDim.y},
                {blockIdx.x, blockIdx.y},
                {gridDim.x, gridDim.y}});
}

#else

// The emulated device's side (tests/support/emulated_cuda).
namespace emulated {
void barrier();
/// The current block's memory for `key`, filled with a pattern when the block first asks for it.
void* shared(const void* key, std::size_t bytes, std::size_t alignment);
struct LaunchedKernel {
  const std::type_info& type;
  std::span<const std::byte> arguments;  // read before `launch` returns
  bool synchronizes;
  unsigned most_threads;
  std::function<void(const Thread&)> body;  // one thread
};
cudaError_t launch(Stream stream, Extent blocks, Extent threads, LaunchedKernel kernel);
}  // namespace emulated

inline void barrier() { emulated::barrier(); }

template <class T, int N, int slot = 0>
inline T* shared_array() {
  static const char key = 0;
  return static_cast<T*>(emulated::shared(&key, N * sizeof(T), alignof(T)));
}

inline void fence_system() {}

#endif

template <class Kernel>
concept AnyKernel = std::is_trivially_copyable_v<Kernel> && requires {
  { Kernel::synchronizes } -> std::convertible_to<bool>;
};

/// Blocks along y that a grid may have.
inline constexpr unsigned most_blocks_down = 65535;

/// Enqueues a kernel; nothing for a grid without blocks. Throws `DeviceError` where the runtime
/// refuses.
template <AnyKernel Kernel>
void launch(Stream stream, Extent blocks, Extent threads, const Kernel& kernel) {
  static_cast<void>(Kernel::synchronizes);  // nvcc warns of what the emulated device alone reads
  if (blocks.x == 0 || blocks.y == 0) return;
  if (blocks.y > most_blocks_down) {
    throw DeviceError("CUDA: a kernel needs a grid of " + std::to_string(blocks.y) +
                      " blocks down, at most " + std::to_string(most_blocks_down) + " are there");
  }
#ifdef __CUDACC__
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(blocks.x, blocks.y);
  config.blockDim = dim3(threads.x, threads.y);
  config.stream = stream;
  const cudaError_t status = cudaLaunchKernelEx(&config, run<Kernel>, kernel);
#else
  // What lies between members may look like an address.
  Kernel arguments = kernel;
#if __has_builtin(__builtin_clear_padding)
  __builtin_clear_padding(&arguments);
#endif
  const cudaError_t status = emulated::launch(stream, blocks, threads,
                                              {.type = typeid(Kernel),
                                               .arguments = std::as_bytes(std::span(&arguments, 1)),
                                               .synchronizes = Kernel::synchronizes,
                                               .most_threads = most_threads<Kernel>,
                                               .body = kernel});
#endif
  if (status != cudaSuccess) {
    cudaGetLastError();
    throw DeviceError(std::string("CUDA: a kernel could not be launched: ") +
                      cudaGetErrorString(status));
  }
}

/// Blocks that fill any device; loops over larger sizes stride.
inline constexpr unsigned most_blocks = 4096;

/// Blocks of `size` threads' work, at most `most`.
inline unsigned blocks_for(std::int64_t size, std::int64_t per_block,
                           std::int64_t most = most_blocks) {
  const std::int64_t blocks = (size + per_block - 1) / per_block;
  return static_cast<unsigned>(blocks < most ? blocks : most);
}

/// A scalar operand as a kernel reads it: a constant, or a number that earlier work wrote.
struct DeviceScalar {
  const double* element = nullptr;
  double constant = 0;
  NATGRAD_DEVICE double value() const { return element != nullptr ? *element : constant; }
};

/// A strided row-major array as a kernel reads it.
template <class T>
struct Matrix {
  T* data;
  std::int64_t rows;
  std::int64_t columns;
  std::int64_t leading_dimension;
  NATGRAD_DEVICE T& operator()(std::int64_t i, std::int64_t j) const {
    return data[i * leading_dimension + j];
  }
};

/// Doubles of scratch that reductions take (`partials` of the functions that need it).
inline constexpr std::int64_t partial_count = 4096;

}  // namespace natgrad::kernels
