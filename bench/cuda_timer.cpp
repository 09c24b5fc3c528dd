#include "benchmarks.hpp"
#include "core/context_state.hpp"
#include "natgrad/cuda.hpp"
#include "natgrad/error.hpp"

#include <cstddef>
#include <string>
#include <utility>

namespace natgrad::bench {

namespace {

void check(cudaError_t status, const char* what) {
  if (status == cudaSuccess) return;
  throw DeviceError(std::string("CUDA: ") + what + ": " + cudaGetErrorString(status));
}

class Event {
 public:
  Event() { check(cudaEventCreate(&event_), "make an event"); }
  ~Event() { cudaEventDestroy(event_); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  cudaEvent_t get() const { return event_; }

 private:
  cudaEvent_t event_ = nullptr;
};

/// Time on the device between two points of the stream. Before the first an array larger than the
/// L2 cache is written, so that nothing of the work before lies there, and again until the host has
/// had the time to enqueue a whole step: work that waits for its launches would be timed with them.
class CudaTimer final : public Timer {
 public:
  explicit CudaTimer(Context context)
      : context_(std::move(context)),
        flushed_(context_.array({flush_bytes / 4, 1}, ElementType::float32)) {
    flush();  // the first launch loads the kernel
    record(start_);
    flush();
    const double once = stop();
    while (flushes_ * once < flush_seconds && flushes_ < most_flushes) ++flushes_;
  }

  void start() override {
    for (int i = 0; i < flushes_; ++i) flush();
    record(start_);
  }
  double stop() override {
    record(stop_);
    check(cudaEventSynchronize(stop_.get()), "wait for an event");
    float milliseconds = 0;
    check(cudaEventElapsedTime(&milliseconds, start_.get(), stop_.get()), "time between events");
    return 1e-3 * static_cast<double>(milliseconds);
  }

 private:
  static constexpr std::int64_t flush_bytes = std::int64_t{256} << 20;
  static constexpr double flush_seconds = 1e-3;  // some 250 launches
  static constexpr int most_flushes = 64;

  void flush() { context_.state().backend().fill(0, flushed_); }
  void record(const Event& event) {
    check(cudaEventRecord(event.get(), cuda_stream(context_)), "record an event");
  }

  Context context_;
  Array flushed_;
  int flushes_ = 1;
  Event start_;
  Event stop_;
};

}  // namespace

std::unique_ptr<Timer> cuda_timer(const Context& context) {
  return std::make_unique<CudaTimer>(context);
}

void copy_by_cuda(const Context& context, const ConstView& from, const View& to) {
  const auto bytes = static_cast<std::size_t>(from.size() * size_of(from.type()));
  check(cudaMemcpyAsync(to.data(), from.data(), bytes, cudaMemcpyDeviceToDevice,
                        cuda_stream(context)),
        "copy on the device");
}

std::string cuda_name(const Context& context) {
  cudaDeviceProp properties{};
  check(cudaGetDeviceProperties(&properties, context.device().index), "the device's name");
  return properties.name;
}

}  // namespace natgrad::bench
