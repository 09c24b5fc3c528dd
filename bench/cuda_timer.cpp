#include "benchmarks.hpp"
#include "core/context_state.hpp"
#include "natgrad/cuda.hpp"
#include "natgrad/error.hpp"

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
/// L2 cache is written, so that nothing of the work before lies there; while that runs, the host
/// gets ahead.
class CudaTimer final : public Timer {
 public:
  explicit CudaTimer(Context context)
      : context_(std::move(context)),
        flushed_(context_.array({flush_bytes / 4, 1}, ElementType::float32)) {}

  void start() override {
    context_.state().backend().fill(0, flushed_);
    check(cudaEventRecord(start_.get(), cuda_stream(context_)), "record an event");
  }
  double stop() override {
    check(cudaEventRecord(stop_.get(), cuda_stream(context_)), "record an event");
    check(cudaEventSynchronize(stop_.get()), "wait for an event");
    float milliseconds = 0;
    check(cudaEventElapsedTime(&milliseconds, start_.get(), stop_.get()), "time between events");
    return 1e-3 * static_cast<double>(milliseconds);
  }

 private:
  static constexpr std::int64_t flush_bytes = std::int64_t{256} << 20;

  Context context_;
  Array flushed_;
  Event start_;
  Event stop_;
};

}  // namespace

std::unique_ptr<Timer> cuda_timer(const Context& context) {
  return std::make_unique<CudaTimer>(context);
}

std::string cuda_name(const Context& context) {
  cudaDeviceProp properties{};
  check(cudaGetDeviceProperties(&properties, context.device().index), "the device's name");
  return properties.name;
}

}  // namespace natgrad::bench
