#include "support/emulated_cuda/state.hpp"

#include <cstdlib>
#include <iostream>
#include <string_view>
#include <utility>

namespace natgrad::emulated_cuda {

namespace {

struct Handler {
  std::mutex mutex;
  FailureHandler handler;
};

Handler& handler() {
  static auto* handler = new Handler;
  return *handler;
}

bool eager_at_first() {
  const char* value = std::getenv("NATGRAD_EMULATED_EAGER");
  return value != nullptr && std::string_view(value) == "1";
}

}  // namespace

// Never destroyed: memory may be freed by destructors that run later.
State& state() {
  static State* state = [] {
    auto* made = new State;
    made->eager = eager_at_first();
    return made;
  }();
  return *state;
}

void report_failure(const std::string& message) {
  FailureHandler told;
  {
    const std::lock_guard lock(handler().mutex);
    told = handler().handler;
  }
  if (told) return told(message);
  std::cerr << "emulated device: " << message << std::endl;
  std::abort();
}

void set_failure_handler(FailureHandler told) {
  const std::lock_guard lock(handler().mutex);
  handler().handler = std::move(told);
}

Counters counters() {
  const Lock lock = lock_state();
  return state().counters;
}

void set_eager(bool eager) {
  const Lock lock = lock_state();
  state().eager = eager;
}

void set_devices(int devices) {
  const Lock lock = lock_state();
  state().devices = devices;
}

void set_driver_version(int version) {
  const Lock lock = lock_state();
  state().driver_version = version;
}

void set_compute_capability(int major) {
  const Lock lock = lock_state();
  state().compute_capability = major;
}

void set_device_memory(std::int64_t bytes) {
  const Lock lock = lock_state();
  state().device_bytes = bytes;
}

void fail_work(std::int64_t n) {
  const Lock lock = lock_state();
  state().work_to_failure = n;
}

void fail_allocation(std::int64_t n) {
  const Lock lock = lock_state();
  state().allocations_to_failure = n;
}

void fail_handle(std::int64_t n) {
  const Lock lock = lock_state();
  state().handles_to_failure = n;
}

void fail_factorization(int info) {
  const Lock lock = lock_state();
  state().failing_info = info;
}

}  // namespace natgrad::emulated_cuda
