#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>
#ifdef __CUDACC__
#include <cuda_fp16.h>

#include <atomic>
#else
#include <bit>
#include <cmath>
#include <functional>
#include <span>
#include <stdexcept>
#include <typeinfo>
#endif

// What only one of two compilers understands: nvcc, which compiles kernels for the device, and g++,
// which compiles the same source for the emulated device of the tests
// (tests/support/emulated_cuda). Each function here has a body for either; no other file asks which
// compiler it is.

#ifdef __CUDACC__
#define NATGRAD_DEVICE __device__ __forceinline__
#define NATGRAD_UNROLL _Pragma("unroll")
#define NATGRAD_LOOP _Pragma("unroll 1")
#else
#define NATGRAD_DEVICE inline
#define NATGRAD_UNROLL
#define NATGRAD_LOOP
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

/// The most threads that a block of a kernel has: its `most_threads`, where it has one. The
/// compiler is told, which may else give a thread more registers than a larger block can have.
template <class Kernel>
inline constexpr unsigned most_threads = block_threads;
template <class Kernel>
requires requires { Kernel::most_threads; }
inline constexpr unsigned most_threads<Kernel> = Kernel::most_threads;

/// A number in half precision, of eleven significant bits (IEEE binary16).
struct Half {
  std::uint16_t bits;
};

#ifdef __CUDACC__

/// All threads of the block, and what they wrote to shared memory, have come here.
NATGRAD_DEVICE void barrier() { __syncthreads(); }

/// The caller's group of threads, and what these wrote to shared memory, have come here; other
/// groups may be elsewhere. Groups are the block's threads in turn, `width` of them, a power of two
/// up to 32.
NATGRAD_DEVICE void group_barrier(const Thread& thread, unsigned width) {
  const unsigned lane = (thread.index.y * thread.threads.x + thread.index.x) % 32;
  const unsigned first = lane & ~(width - 1);
  __syncwarp((0xffffffffU >> (32 - width)) << first);
}

/// N elements that the threads of a block share, uninitialized. Arrays of one kernel differ in
/// type, size or `slot`.
template <class T, int N, int slot = 0>
NATGRAD_DEVICE T* shared_array() {
  alignas(16) __shared__ T storage[N];  // kernels read it 16 bytes at a time
  return storage;
}

/// Begins to copy four floats to shared memory, of which `count` are there and the others become
/// zero; both addresses are multiples of 16 bytes. `finish_copies` and a barrier end it.
NATGRAD_DEVICE void begin_copy(const float* from, int count, float* to) {
#if __CUDA_ARCH__ >= 800
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;"
               :
               : "r"(static_cast<unsigned>(__cvta_generic_to_shared(to))), "l"(from),
                 "r"(static_cast<int>(sizeof(float)) * count)
               : "memory");
#else
  for (int e = 0; e < 4; ++e) to[e] = e < count ? from[e] : 0.0f;
#endif
}
NATGRAD_DEVICE void finish_copies() {
#if __CUDA_ARCH__ >= 800
  asm volatile("cp.async.wait_all;" ::: "memory");
#endif
}

/// Everything written before is seen by the host before what is written after.
NATGRAD_DEVICE void fence_system() { __threadfence_system(); }

/// 1 / sqrt(x), to two units in the last place.
NATGRAD_DEVICE float inverse_sqrt(float x) {
  const float y = rsqrtf(x);
  return y * (1.5f - 0.5f * x * y * y);
}

/// The nearest number of half precision, ties to even; infinity from 65520 on.
NATGRAD_DEVICE Half to_half(float x) { return {__half_as_ushort(__float2half_rn(x))}; }
NATGRAD_DEVICE float to_float(Half x) { return __half2float(__ushort_as_half(x.bits)); }

/// The number that `counter` held, which is one more now.
NATGRAD_DEVICE int take_ticket(int* counter) { return atomicAdd(counter, 1); }

/// What stands where no block has published a number yet: a NaN that no operation gives. A
/// published number is its own flag: no other memory is read because of it, so that no fence is
/// needed, and a load of several may find some of them published and others not.
inline constexpr unsigned unpublished = 0xFFFFFFFFU;

/// Gives a number to blocks that wait for it.
NATGRAD_DEVICE void publish(float value, float* address) {
  const unsigned bits = __float_as_uint(value);
  *reinterpret_cast<volatile unsigned*>(address) = bits == unpublished ? 0x7FFFFFFFU : bits;
}

/// Waits for `count` numbers, a multiple of 4 at a multiple of 16 bytes, that earlier blocks
/// publish.
template <int count>
NATGRAD_DEVICE void await(const float* address, float* values) {
  for (bool complete = false; !complete;) {
    complete = true;
#pragma unroll
    for (int k = 0; k < count; k += 4) {
      unsigned bits[4];
      asm volatile("ld.volatile.global.v4.u32 {%0, %1, %2, %3}, [%4];"
                   : "=r"(bits[0]), "=r"(bits[1]), "=r"(bits[2]), "=r"(bits[3])
                   : "l"(address + k)
                   : "memory");
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        complete = complete && bits[e] != unpublished;
        values[k + e] = __uint_as_float(bits[e]);
      }
    }
  }
}
NATGRAD_DEVICE float await(const float* address) {
  unsigned bits;
  do {
    bits = *reinterpret_cast<const volatile unsigned*>(address);
  } while (bits == unpublished);
  return __uint_as_float(bits);
}

/// Programmatic dependent launch: lets the next kernel of the stream start, and waits until the one
/// before has ended and its writes are visible. That one waited for its predecessor, so that all
/// earlier kernels have ended then. Every kernel begins with it, so that the start of one, a
/// microsecond, lies within the work of another.
NATGRAD_DEVICE void overlap_starts() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

template <class Kernel>
__global__ void __launch_bounds__(most_threads<Kernel>) run(const __grid_constant__ Kernel kernel) {
  overlap_starts();
  kernel(Thread{{threadIdx.x, threadIdx.y},
                {blockDim.x, blockDim.y},
                {blockIdx.x, blockIdx.y},
                {gridDim.x, gridDim.y}});
}

template <class Kernel>
cudaError_t attributes_of(cudaFuncAttributes& attributes) {
  return cudaFuncGetAttributes(&attributes, reinterpret_cast<const void*>(&run<Kernel>));
}

/// Whether the code of this kernel for the current device has `overlap_starts`: one that does not
/// wait must not start early.
template <class Kernel>
bool starts_overlap() {
  enum : int { unknown, no, yes };
  constexpr int devices = 64;
  constexpr int compute_capability = 90;
  static std::atomic<int> known[devices];
  int device = 0;
  if (cudaGetDevice(&device) != cudaSuccess || device >= devices) {
    cudaGetLastError();  // the launch itself says what is wrong
    return false;
  }
  int answer = known[device].load(std::memory_order_relaxed);
  if (answer == unknown) {
    cudaFuncAttributes code;
    if (attributes_of<Kernel>(code) != cudaSuccess) {
      cudaGetLastError();
      return false;
    }
    answer = code.ptxVersion >= compute_capability ? yes : no;
    known[device].store(answer, std::memory_order_relaxed);
  }
  return answer == yes;
}

/// Enqueues kernel(thread) for every thread of a grid that is not empty.
template <class Kernel>
cudaError_t enqueue(Stream stream, Extent blocks, Extent threads, const Kernel& kernel) {
  static_cast<void>(Kernel::synchronizes);  // nvcc warns of what the emulated device alone reads
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(blocks.x, blocks.y);
  config.blockDim = dim3(threads.x, threads.y);
  config.stream = stream;
  cudaLaunchAttribute overlap{};
  overlap.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  overlap.val.programmaticStreamSerializationAllowed = 1;
  config.attrs = &overlap;
  config.numAttrs = starts_overlap<Kernel>() ? 1 : 0;
  return cudaLaunchKernelEx(&config, run<Kernel>, kernel);
}

/// Whether the current device can run this kernel.
template <class Kernel>
cudaError_t find() {
  cudaFuncAttributes attributes;
  return attributes_of<Kernel>(attributes);
}

#else

namespace emulated {
void barrier();
void group_barrier(const Thread& thread, unsigned width);
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
inline void group_barrier(const Thread& thread, unsigned width) {
  emulated::group_barrier(thread, width);
}

template <class T, int N, int slot = 0>
inline T* shared_array() {
  static const char key = 0;
  return static_cast<T*>(emulated::shared(&key, N * sizeof(T), alignof(T) < 16 ? 16 : alignof(T)));
}

inline void begin_copy(const float* from, int count, float* to) {
  for (int e = 0; e < 4; ++e) to[e] = e < count ? from[e] : 0;
}
inline void finish_copies() {}

inline void fence_system() {}

inline float inverse_sqrt(float x) { return 1 / std::sqrt(x); }

/// bits / 2^dropped, rounded to nearest, ties to even.
inline std::uint32_t rounded_bits(std::uint32_t bits, std::uint32_t dropped) {
  return (bits + (1U << (dropped - 1)) - 1 + (bits >> dropped & 1U)) >> dropped;
}

inline Half to_half(float x) {
  constexpr std::uint32_t infinity = 0x7F800000;
  constexpr std::uint32_t overflow = 0x477FF000;  // 65520, halfway to 2^16
  constexpr std::uint32_t normal = 0x38800000;    // 2^-14
  const auto bits = std::bit_cast<std::uint32_t>(x);
  const std::uint32_t size = bits & 0x7FFFFFFF;
  const std::uint32_t exponent = size >> 23;
  std::uint32_t half = 0;
  if (size > infinity) {
    half = 0x7FFF;
  } else if (size >= overflow) {
    half = 0x7C00;
  } else if (size >= normal) {
    half = rounded_bits(size - (112U << 23), 13);
  } else if (exponent >= 102) {  // of 2^-24, the unit of denormal numbers, at least a half
    half = rounded_bits((size & 0x7FFFFF) | 0x800000, 126 - exponent);
  }
  return {static_cast<std::uint16_t>((bits >> 16 & 0x8000) | half)};
}

inline float to_float(Half x) {
  const std::uint32_t sign = (x.bits & 0x8000U) << 16;
  const std::uint32_t exponent = x.bits >> 10 & 31U;
  const std::uint32_t fraction = x.bits & 1023U;
  std::uint32_t size = (exponent + 112) << 23 | fraction << 13;
  if (exponent == 31) size = 0x7F800000 | fraction << 13;
  if (exponent == 0) size = std::bit_cast<std::uint32_t>(static_cast<float>(fraction) * 0x1p-24F);
  return std::bit_cast<float>(sign | size);
}

// The emulated device runs the blocks of a grid one after the other.
inline int take_ticket(int* counter) { return (*counter)++; }
inline constexpr unsigned unpublished = 0xFFFFFFFFU;
inline void publish(float value, float* address) {
  *address = std::bit_cast<unsigned>(value) == unpublished ? std::nanf("") : value;
}
inline float await(const float* address) {
  if (std::bit_cast<unsigned>(*address) != unpublished) return *address;
  throw std::logic_error("a block waits for a later one");
}
template <int count>
void await(const float* address, float* values) {
  for (int k = 0; k < count; ++k) values[k] = await(address + k);
}

template <class Kernel>
cudaError_t enqueue(Stream stream, Extent blocks, Extent threads, const Kernel& kernel) {
  // What lies between members may look like an address.
  Kernel arguments = kernel;
#if __has_builtin(__builtin_clear_padding)
  __builtin_clear_padding(&arguments);
#endif
  return emulated::launch(stream, blocks, threads,
                          {.type = typeid(Kernel),
                           .arguments = std::as_bytes(std::span(&arguments, 1)),
                           .synchronizes = Kernel::synchronizes,
                           .most_threads = most_threads<Kernel>,
                           .body = kernel});
}

template <class Kernel>
cudaError_t find() {
  return cudaSuccess;
}

#endif

}  // namespace natgrad::kernels
