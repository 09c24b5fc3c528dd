#include "backend/cuda/handles.hpp"

namespace natgrad::cuda {

StreamHandle::StreamHandle() : owned_(true) {
  check(cudaGetDevice(&device_), "the current device");
  check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "create a stream");
}

StreamHandle::StreamHandle(cudaStream_t stream) : stream_(stream) {
  check(cudaStreamGetDevice(stream, &device_), "the device of the caller's stream");
}

bool StreamHandle::is_capturing() const noexcept {
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  // The legacy default stream, which cannot be captured, refuses while another stream is.
  const cudaError_t asked = cudaStreamIsCapturing(stream_, &status);
  disregard(asked);
  return asked == cudaSuccess && status != cudaStreamCaptureStatusNone;
}

StreamHandle::~StreamHandle() {
  if (owned_) disregard(cudaStreamDestroy(stream_));
}

}  // namespace natgrad::cuda
