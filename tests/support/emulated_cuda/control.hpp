#pragma once

#include <cstdint>
#include <functional>
#include <string>

// A CUDA device that is none: stand-ins for the runtime, cuBLAS and cuSOLVER functions that the
// library calls, on the CPU's BLAS and LAPACK. An executable links them in place of those
// libraries.
//
// Kernels, copies, fills and library calls wait in the queue of their stream until the host waits
// for it or asks for it, so that whoever forgets to wait, or frees too early, is found out. Work of
// a stream runs in the host thread that waits for it. The legacy default stream is one more queue,
// ordered with no other.
//
// What a test does with the device stands here; all of it holds for the whole process.

namespace natgrad::emulated_cuda {

/// Calls so far.
struct Counters {
  std::int64_t allocations = 0;  // device, managed and pinned memory
  std::int64_t frees = 0;
  std::int64_t synchronizations = 0;  // of the host with a stream, an event or the device
  std::int64_t host_copies = 0;       // from the device to the host
  std::int64_t device_copies = 0;     // to the device, from the host or the device
  std::int64_t launches = 0;
  std::int64_t library_calls = 0;  // that a stream runs
};
Counters counters();

/// What was made and not yet given back.
struct Live {
  std::int64_t allocations = 0;
  std::int64_t bytes = 0;
  std::int64_t streams = 0;
  std::int64_t events = 0;
  std::int64_t handles = 0;  // of cuBLAS and cuSOLVER
};
Live live();

/// Work that waits in all queues.
std::int64_t queued();

/// Whether work runs when it is enqueued. At first it does where NATGRAD_EMULATED_EAGER is 1 in the
/// environment.
void set_eager(bool eager);

/// Devices that are found: 1 at first; 0 for none.
void set_devices(int devices);
/// As CUDART_VERSION counts, which it is at first; 0 for no driver.
void set_driver_version(int version);

/// Major number of every device: 8 at first.
void set_compute_capability(int major);

/// Memory of every device, so much at first.
inline constexpr std::int64_t usual_device_memory = std::int64_t{4} << 30;
void set_device_memory(std::int64_t bytes);

/// The n-th allocation from now fails, n from 1; 0 for none.
void fail_allocation(std::int64_t n);
/// The n-th kernel or library call from now that a stream is to run is refused; 0 for none.
void fail_work(std::int64_t n);
/// The n-th handle of cuBLAS or cuSOLVER from now cannot be made, n from 1; 0 for none. The status
/// is ALLOC_FAILED for cuBLAS, an internal error for cuSOLVER.
void fail_handle(std::int64_t n);
/// The next factorization that runs leaves its matrix alone and reports `info`; 0 for none.
void fail_factorization(int info);

/// Told what breaks a contract of the device: an array's fence, memory freed that queued work
/// names, a barrier not reached by all. Without one the message goes to standard error and the
/// process aborts. It must not call the device.
using FailureHandler = std::function<void(const std::string&)>;
void set_failure_handler(FailureHandler handler);

}  // namespace natgrad::emulated_cuda
