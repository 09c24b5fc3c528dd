#pragma once

#include "backend/backend.hpp"
#include "core/arena.hpp"
#include "natgrad/context.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>
#include <vector>

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
  Arena& arena() { return *arenas_[calls_]; }
  Array array(Shape shape, ElementType type) const {
    return {allocator_, shape, type, device(), backend_->stream()};
  }
  /// An array that queued work writes and the host reads without a call.
  Array visible_array(Shape shape, ElementType type) const;
  void warn(std::string_view text) const;

  /// While it lives, the context is the caller's in the middle of an operation whose scratch must
  /// stay: `arena` is another one.
  class CallersTurn {
   public:
    explicit CallersTurn(ContextState& context) : context_(context) { context_.next_arena(); }
    ~CallersTurn() { --context_.calls_; }
    CallersTurn(const CallersTurn&) = delete;
    CallersTurn& operator=(const CallersTurn&) = delete;

   private:
    ContextState& context_;
  };

 private:
  void next_arena();

  std::function<void(std::string_view)> on_warning_;
  std::unique_ptr<Backend> backend_;
  std::shared_ptr<const Allocator> allocator_;
  std::size_t calls_ = 0;                       // of the caller's code that are under way
  std::vector<std::unique_ptr<Arena>> arenas_;  // one for each depth of them that was reached
};

}  // namespace natgrad::detail
