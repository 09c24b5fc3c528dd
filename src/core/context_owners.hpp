#pragma once

#include "core/context_state.hpp"
#include "natgrad/array.hpp"

#include <utility>
#include <vector>

namespace natgrad::detail {

/// Owners of operands. Whoever holds them lets them go by this object, or by its end, once the work
/// enqueued until then has run.
class HeldOwners {
 public:
  explicit HeldOwners(Context context) : context_(std::move(context)) {}
  /// The owner of one operand of a call: it is held until the call's work has run, also where the
  /// call throws.
  HeldOwners(const Context& context, const Owner& owner) : context_(context) { add(owner); }
  ~HeldOwners() {
    try {
      release();
    } catch (...) {
      // Without memory for a note of when, now is the time.
      wait();
      owners_.clear();
    }
  }
  HeldOwners(const HeldOwners&) = delete;
  HeldOwners& operator=(const HeldOwners&) = delete;

  /// Nothing is added where it throws `std::bad_alloc`, and none is thrown after `reserve_one`.
  void add(const Owner& owner) {
    if (owner != nullptr) owners_.push_back(owner);
  }
  void reserve_one() { owners_.reserve(owners_.size() + 1); }
  /// Lets all go once their work has run. Does not wait. Throws `std::bad_alloc`, `MemoryError` or
  /// `DeviceError`, with all still held.
  void release() {
    if (!owners_.empty()) context_.state().backend().release_after_work(owners_);
  }

 private:
  void wait() noexcept {
    try {
      context_.state().backend().synchronize();
    } catch (...) {  // NOLINT(bugprone-empty-catch)
      // A device that is broken runs nothing more.
    }
  }

  Context context_;
  std::vector<Owner> owners_;
};

}  // namespace natgrad::detail
