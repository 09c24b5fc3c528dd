#pragma once

#include "kernels/cuda/intrinsics.hpp"
#include "kernels/formulas/formula.hpp"
#include "natgrad/error.hpp"

#include <concepts>
#include <cstdint>
#include <string>
#include <type_traits>

// How kernels are written and launched. A kernel is a struct: its members are its arguments, and
//
//   static constexpr bool synchronizes = false;    // whether it calls barrier()
//   static constexpr unsigned most_threads = 512;  // of a block, where not block_threads
//   NATGRAD_DEVICE void operator()(const Thread& thread) const;
//
// is what one thread does. nvcc compiles it for the device; g++ compiles the same source for the
// emulated device of the tests, which runs the threads of a block as fibers where the kernel
// synchronizes, and as a plain loop where it does not.

namespace natgrad::kernels {

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
  if (blocks.x == 0 || blocks.y == 0) return;
  if (blocks.y > most_blocks_down) {
    throw DeviceError("CUDA: a kernel needs a grid of " + std::to_string(blocks.y) +
                      " blocks down, at most " + std::to_string(most_blocks_down) + " are there");
  }
  const cudaError_t status = enqueue(stream, blocks, threads, kernel);
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
