#pragma once

#include "natgrad/array.hpp"
#include "natgrad/export.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>

namespace natgrad {

namespace detail {
class ContextState;
}

/// The device on which work runs, with its library handles, its allocator and its scratch memory.
///
/// A context is a handle: copies speak of the same context, and every object made from one keeps it
/// alive. One context, and what is made from it, is used by one thread at a time; different
/// contexts are independent. The library changes no process-wide setting and prints nothing:
/// warnings go to `Options::on_warning`.
///
/// Work runs in the order of the calls. On the CPU it has run when a call returns. On a GPU a call
/// enqueues it on the context's stream and returns; these calls wait for it: `synchronize`, `read`,
/// `write`; `report` and `direction_report` of the optimizer, `report` of a `FisherMatrix`, its
/// `trace` and `quadratic_form`; `Scores::check`, `check_scores`; `save` and `load`;
/// `FullyConnected`'s constructor, `evaluate` and `draw_counter`; the first step of an optimizer,
/// which allocates; the destructors of an optimizer and of a context's last handle, the latter for
/// all work of the device.
class NATGRAD_EXPORT Context {
 public:
  struct Options {
    /// Where memory comes from. Default: aligned `operator new`, or `cudaMallocAsync`. A context
    /// allocates nothing before something needs it, except for the fixed workspace of a CUDA
    /// device.
    Allocator allocator = {};
    /// Is called with each warning, one line of text. Default: warnings are dropped.
    std::function<void(std::string_view)> on_warning = {};
  };

  /// A context on the CPU, with the process's BLAS, LAPACK and OpenMP threads.
  static Context cpu(Options options);
  static Context cpu();
  /// A context on the current CUDA device, on a stream of its own that is ordered with no other;
  /// for a stream of the caller's see `cuda_context` (cuda.hpp). Its library handles hold a fixed
  /// workspace on the device: 32 MiB from compute capability 9 on, 4 MiB before. Throws
  /// `DeviceError` where there is no driver, one that is too old, no device, or no CUDA in this
  /// build; `MemoryError` where there is no room.
  static Context cuda(Options options);
  static Context cuda();
  /// A context on the current CUDA device where there is one, else on the CPU, with a warning that
  /// says why. In a build without CUDA it is on the CPU, without a warning.
  static Context best(Options options);
  static Context best();

  Device device() const;

  /// Allocates an array on this device; its elements are not initialized. The memory is available
  /// to work on the context's stream: before you use it on another stream, wait or record an event.
  /// Does not wait. Throws `MemoryError` where there is no room, `ShapeError` for a negative size.
  Array array(Shape shape, ElementType type) const;

  /// Copies size() elements from host memory to a contiguous array of this device. Waits. Throws
  /// `ArgumentError` for null, `ShapeError` for an array whose rows are not adjacent, `DeviceError`
  /// for an array of another device.
  void write(const void* host, const View& array) const;
  /// Copies a contiguous array of this device to host memory of size() elements. Waits. Throws
  /// `ArgumentError` for null, `ShapeError` for an array whose rows are not adjacent, `DeviceError`
  /// for an array of another device.
  void read(const ConstView& array, void* host) const;

  /// Waits until all work of this context is done. Throws `DeviceError` when it failed.
  void synchronize() const;

  /// For the library's own use.
  detail::ContextState& state() const { return *state_; }

  /// For the library's own use.
  explicit Context(std::shared_ptr<detail::ContextState> state);

 private:
  std::shared_ptr<detail::ContextState> state_;
};

}  // namespace natgrad
