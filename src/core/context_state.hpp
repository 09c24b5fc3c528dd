#pragma once

#include "backend/backend.hpp"
#include "core/arena.hpp"
#include "natgrad/context.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>

namespace natgrad::detail {

/// Both functions of an allocator, by default the host's. Throws `OptionError` for one alone.
std::shared_ptr<const Allocator> checked_allocator(Allocator given);

/// The device, backend, allocator and scratch that a `Context` is a handle of.
class ContextState {
 public:
  ContextState(Context::Options options, std::unique_ptr<Backend> backend);

  Backend& backend() { return *backend_; }
  const Backend& memory() const { return *backend_; }
  Device device() const { return backend_->device(); }
  Arena& arena() { return arena_; }
  Array array(Shape shape, ElementType type) const {
    return {allocator_, shape, type, device(), backend_->stream()};
  }
  /// An array that queued work writes and the host reads without a call.
  Array visible_array(Shape shape, ElementType type) const;
  void warn(std::string_view text) const;

 private:
  std::function<void(std::string_view)> on_warning_;
  std::unique_ptr<Backend> backend_;
  std::shared_ptr<const Allocator> allocator_;
  Arena arena_;
};

}  // namespace natgrad::detail
