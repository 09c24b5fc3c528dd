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

/// Where work runs: a device with its handles, its memory and its scratch arena.
///
/// A context is a copyable handle; what is made from one keeps it alive. One context, and what is
/// made from it, is used by one thread at a time; different contexts are independent. Work is
/// ordered as it was called. These wait for it: `synchronize`, `read`, `write`; `report` and
/// `direction_report` of the optimizer, `report` of a `FisherMatrix`, its `trace` and
/// `quadratic_form`; `Scores::check`, `check_scores`; `save` and `load`; `FullyConnected`'s
/// constructor, `evaluate` and `draw_counter`; on a GPU also the first step of an optimizer, which
/// allocates, and the destructors of an optimizer and of a context's last handle, the latter for
/// all work of the device. The library changes no process-wide setting and prints nothing: warnings
/// go to `Options::on_warning`.
class NATGRAD_EXPORT Context {
 public:
  struct Options {
    /// Default: aligned `operator new`, or `cudaMallocAsync`. But for a CUDA device's fixed
    /// workspace nothing is allocated before something needs it.
    Allocator allocator = {};
    /// Receives one line a warning; default: nobody.
    std::function<void(std::string_view)> on_warning = {};
  };

  /// The CPU, through the process's BLAS, LAPACK and OpenMP threads.
  static Context cpu(Options options);
  static Context cpu();
  /// The current CUDA device, on a stream of its own that is ordered with no other; `cuda.hpp`
  /// has the way to a stream of yours. Its handles hold a fixed workspace of that device: 32 MiB
  /// from compute capability 9 on, 4 before. Throws `DeviceError` where there is no driver, one
  /// that is too old, no device, or no CUDA in this build; `MemoryError` where there is no room.
  static Context cuda(Options options);
  static Context cuda();
  /// CUDA where there is a device, else the CPU, with a warning that says why; in a build without
  /// CUDA always the CPU.
  static Context best(Options options);
  static Context best();

  Device device() const;

  /// An uninitialized array on this device, there for work of the context's stream: who uses it on
  /// another one waits or records an event first. Throws `MemoryError` where there is no room.
  Array array(Shape shape, ElementType type) const;

  /// Copies between host memory of as many bytes and a contiguous array of this device. Waits.
  /// Throws `ArgumentError` for null, `ShapeError` for rows that are apart, `DeviceError` for an
  /// array of another device.
  void write(const void* host, const View& array) const;
  void read(const ConstView& array, void* host) const;

  /// Waits until all work of this context is done.
  void synchronize() const;

  /// The library's own side of the context.
  detail::ContextState& state() const { return *state_; }

  /// The library's own way to make one.
  explicit Context(std::shared_ptr<detail::ContextState> state);

 private:
  std::shared_ptr<detail::ContextState> state_;
};

}  // namespace natgrad
