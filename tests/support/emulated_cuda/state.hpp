#pragma once

#include "support/emulated_cuda/control.hpp"

#include <cuda_runtime_api.h>

#include <condition_variable>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <sstream>
#include <string>
#include <utility>

// What the parts of the emulated device share.

namespace natgrad::emulated_cuda {

using Lock = std::unique_lock<std::mutex>;

/// Guarded by its mutex, as are the tables of memory, streams, events and handles. Work runs
/// without it.
struct State {
  std::mutex mutex;
  std::condition_variable changed;  // a queue has moved on
  Counters counters;
  bool eager = false;
  int devices = 1;
  int driver_version = CUDART_VERSION;
  int compute_capability = 8;
  std::int64_t device_bytes = usual_device_memory;
  std::int64_t allocations_to_failure = 0;
  std::int64_t work_to_failure = 0;
  std::int64_t handles_to_failure = 0;
  int failing_info = 0;
};
State& state();
/// Counts down to the failure that a test wants.
inline bool is_due(std::int64_t& left) { return left > 0 && --left == 0; }
inline Lock lock_state() { return Lock(state().mutex); }

/// Tells the handler of failures.
void report_failure(const std::string& message);

template <class... Parts>
void fail(const Parts&... parts) {
  std::ostringstream message;
  (message << ... << parts);
  report_failure(message.str());
}

/// Keeps an error for cudaGetLastError, and returns it.
cudaError_t remember(cudaError_t status);
/// An error where there is no device, or no driver for it. Under the lock.
cudaError_t device_status();
/// Of the calling thread.
int current_device();

/// Handles that are alive; others are refused.
template <class T>
class Handles {
 public:
  T* add(T value) {
    auto made = std::make_shared<T>(std::move(value));
    live_.emplace(made.get(), made);
    return made.get();
  }
  bool contains(const void* handle) const {
    return live_.count(static_cast<T*>(const_cast<void*>(handle))) > 0;
  }
  void remove(T* handle) { live_.erase(handle); }
  std::int64_t size() const { return static_cast<std::int64_t>(live_.size()); }
  const std::map<T*, std::shared_ptr<T>>& all() const { return live_; }

 private:
  std::map<T*, std::shared_ptr<T>> live_;
};

}  // namespace natgrad::emulated_cuda
