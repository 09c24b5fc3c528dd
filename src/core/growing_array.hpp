#pragma once

#include "core/operands.hpp"
#include "natgrad/array.hpp"

#include <cstdint>
#include <utility>
#include <vector>

namespace natgrad::detail {

/// An array of a size that is not known beforehand, which a larger one replaces when a call needs
/// it. A CUDA graph goes on using the addresses that it was captured with, so that from the first
/// call within a capture of the context's stream on an outgrown array is kept until this object
/// ends; before, it is given back.
class GrowingArray {
 public:
  bool empty() const { return array_.empty(); }
  View view() const { return array_.view(); }
  operator ConstView() const { return array_; }  // NOLINT(google-explicit-constructor)
  std::int64_t rows() const { return array_.view().rows(); }
  /// Of the array in use, without those that are kept.
  std::int64_t bytes() const {
    return empty() ? 0 : array_.view().size() * size_of(array_.view().type());
  }

  /// Puts `larger` in the place of the array. `memory`: the context's backend. A caller that gives
  /// nothing before it allocates avoids that the old and the new together are twice the memory.
  /// Does not wait. Throws `std::bad_alloc`, with nothing changed, unless `prepare` was called.
  void replace(const DeviceMemory& memory, Array larger = {}) {
    outgrow(memory, array_);
    array_ = std::move(larger);
  }

  /// Empties an array whose work this one takes over: keeps it, or gives it back. Throws
  /// `std::bad_alloc`, with nothing changed.
  void outgrow(const DeviceMemory& memory, Array& array) {
    if (!array.empty() && memory.was_captured()) {
      outgrown_.push_back(std::move(array));
    } else {
      array = {};
    }
  }

  /// For callers that replace several arrays or none: the next `replace` throws nothing. Throws
  /// `std::bad_alloc`.
  void prepare() { outgrown_.reserve(outgrown_.size() + 1); }

 private:
  Array array_;
  std::vector<Array> outgrown_;  // whose addresses a graph may hold
};

}  // namespace natgrad::detail
