#include "backend/cuda/handles.hpp"

namespace natgrad::cuda {

StreamHandle::StreamHandle() : owned_(true) {
  check(cudaGetDevice(&device_), "the current device");
  check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "create a stream");
}

StreamHandle::StreamHandle(cudaStream_t stream) : stream_(stream) {
  check(cudaStreamGetDevice(stream, &device_), "the device of the caller's stream");
}

namespace {

bool is_captured(cudaStream_t stream) noexcept {
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  // The legacy default stream, which cannot be captured, refuses while another stream is.
  const cudaError_t asked = cudaStreamIsCapturing(stream, &status);
  disregard(asked);
  return asked == cudaSuccess && status != cudaStreamCaptureStatusNone;
}

/// An event that is recorded once.
struct Event {
  Event() { check(cudaEventCreateWithFlags(&handle, cudaEventDisableTiming), "create an event"); }
  ~Event() { disregard(cudaEventDestroy(handle)); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  cudaEvent_t handle = nullptr;
};

}  // namespace

bool StreamHandle::is_capturing() const noexcept { return is_captured(stream_); }

void StreamHandle::change(cudaStream_t stream) {
  int device = 0;
  check(cudaStreamGetDevice(stream, &device), "the device of the caller's stream");
  if (device != device_) {
    throw DeviceError(detail::message("set stream: the stream is of cuda ", device,
                                      ", the context is on cuda ", device_));
  }
  if (is_captured(stream_) || is_captured(stream)) {
    throw ArgumentError("set stream: the stream before or the new one is being captured");
  }
  if (stream == stream_) return;
  const Event before;
  check(cudaEventRecord(before.handle, stream_), "an event behind the work");
  check(cudaStreamWaitEvent(stream, before.handle, 0), "wait for the stream before");
  if (owned_) disregard(cudaStreamDestroy(stream_));
  owned_ = false;
  stream_ = stream;
}

StreamHandle::~StreamHandle() {
  if (owned_) disregard(cudaStreamDestroy(stream_));
}

}  // namespace natgrad::cuda
