#pragma once

#include "backend/cuda/errors.hpp"

#include <memory>
#include <new>
#include <type_traits>

namespace natgrad::cuda {

/// Makes a device current while it lives, and then the one that was before.
class DeviceGuard {
 public:
  explicit DeviceGuard(int device) {
    check(cudaGetDevice(&before_), "the current device");
    if (before_ == device) return;
    check(cudaSetDevice(device), "make the context's device current");
    changed_ = true;
  }
  /// For destructors: makes the device current where that succeeds.
  DeviceGuard(int device, std::nothrow_t) noexcept {
    cudaError_t status = cudaGetDevice(&before_);
    if (status == cudaSuccess && before_ != device) {
      status = cudaSetDevice(device);
      changed_ = status == cudaSuccess;
    }
    disregard(status);
  }
  ~DeviceGuard() {
    if (changed_) disregard(cudaSetDevice(before_));
  }
  DeviceGuard(const DeviceGuard&) = delete;
  DeviceGuard& operator=(const DeviceGuard&) = delete;

 private:
  int before_ = 0;
  bool changed_ = false;
};

/// A stream of one device: the caller's, or a new one, which is destroyed with this object.
class StreamHandle {
 public:
  /// A new stream of the current device, ordered with no other. Throws `DeviceError`.
  StreamHandle();
  /// The caller's stream, which the caller keeps alive. Throws `DeviceError` where the runtime
  /// refuses it.
  explicit StreamHandle(cudaStream_t stream);
  ~StreamHandle();
  StreamHandle(const StreamHandle&) = delete;
  StreamHandle& operator=(const StreamHandle&) = delete;

  cudaStream_t get() const { return stream_; }
  int device() const { return device_; }
  /// Whether the caller now captures the stream in a graph.
  bool is_capturing() const noexcept;
  /// Changes to another stream of the device, the caller's, behind the work of this one. Throws
  /// `DeviceError`, or `ArgumentError` while either is captured, with nothing changed.
  void change(cudaStream_t stream);

 private:
  cudaStream_t stream_ = nullptr;
  int device_ = 0;
  bool owned_ = false;
};

/// Library handles, destroyed by the library's function for it.
template <auto destroy>
struct Release {
  template <class Handle>
  void operator()(Handle* handle) const {
    destroy(handle);
  }
};
using BlasHandle = std::unique_ptr<std::remove_pointer_t<cublasHandle_t>, Release<cublasDestroy>>;
using SolverHandle =
    std::unique_ptr<std::remove_pointer_t<cusolverDnHandle_t>, Release<cusolverDnDestroy>>;
using SolverParams =
    std::unique_ptr<std::remove_pointer_t<cusolverDnParams_t>, Release<cusolverDnDestroyParams>>;

}  // namespace natgrad::cuda
