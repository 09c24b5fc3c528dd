#pragma once

#include "core/growing_array.hpp"
#include "natgrad/array.hpp"
#include "natgrad/error.hpp"

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace natgrad::detail {

/// Bytes that were taken for one purpose, as a memory plan lists them.
struct CarvedItem {
  const char* name;
  std::int64_t bytes;
};

/// Hands out the parts of one block of memory, each at a multiple of 256 bytes from its start, as
/// CUDA's libraries want their workspaces. Without memory it only counts: a function that takes its
/// buffers from a Carver is run once to learn how many bytes they are, and again to get them, so
/// that plan and use cannot differ. Throws `MemoryError` where the bytes are more than an address
/// can count.
class Carver {
 public:
  Carver() = default;
  Carver(void* memory, Device device) : memory_(static_cast<std::byte*>(memory)), device_(device) {}
  /// Counts, and adds to `items` what each purpose took.
  explicit Carver(std::vector<CarvedItem>& items) : items_(&items) {}

  /// A view of fresh scratch with rows `leading_dimension` (default: columns) apart; empty while
  /// counting.
  View take(Shape shape, ElementType type, std::int64_t leading_dimension = 0) {
    const std::int64_t columns = leading_dimension == 0 ? shape.columns : leading_dimension;
    void* start = take_bytes(product(product(shape.rows, columns), size_of(type)));
    return start == nullptr ? View() : View(start, type, shape, {columns, device_});
  }

  void* take_bytes(std::int64_t bytes) {
    void* start = memory_ == nullptr ? nullptr : memory_ + bytes_;
    std::int64_t end = 0;
    if (bytes < 0 || __builtin_add_overflow(bytes_, bytes, &end) ||
        __builtin_add_overflow(end, alignment - 1, &end)) {
      throw_too_large();
    }
    bytes_ = end / alignment * alignment;
    return start;
  }

  std::int64_t bytes() const { return bytes_; }

  /// Names what was taken since the last call.
  void item(const char* name) {
    if (items_ != nullptr && bytes_ > named_) items_->push_back({name, bytes_ - named_});
    named_ = bytes_;
  }

 private:
  static constexpr std::int64_t alignment = 256;

  [[noreturn]] static void throw_too_large() {
    throw MemoryError("scratch: more bytes than an address can count");
  }

  static std::int64_t product(std::int64_t a, std::int64_t b) {
    std::int64_t result = 0;
    if (__builtin_mul_overflow(a, b, &result)) throw_too_large();
    return result;
  }

  std::byte* memory_ = nullptr;
  Device device_ = {};
  std::int64_t bytes_ = 0;
  std::int64_t named_ = 0;
  std::vector<CarvedItem>* items_ = nullptr;
};

/// The scratch memory of a context: one block, as large as the largest operation so far asked for.
/// All work of a context is ordered, so that each operation may use the whole block.
class Arena {
 public:
  /// `memory`: the backend of the context, which outlives this.
  Arena(std::shared_ptr<const Allocator> allocator, const DeviceMemory& memory, void* stream)
      : allocator_(std::move(allocator)), memory_(memory), stream_(stream) {}

  /// The block, of at least `bytes`: allocated anew where it is smaller.
  Carver carve(std::int64_t bytes) {
    if (bytes > bytes_) {
      if (bytes > std::numeric_limits<std::int64_t>::max() - 7) {
        throw MemoryError("scratch: more bytes than an address can count");
      }
      block_.replace(memory_);
      bytes_ = 0;
      block_.replace(
          memory_,
          {allocator_, {(bytes + 7) / 8, 1}, ElementType::float64, memory_.device(), stream_});
      bytes_ = bytes;
    }
    return {block_.view().data(), memory_.device()};
  }

  std::int64_t bytes() const { return bytes_; }

  /// Buffers made by `Buffers(Carver&, arguments...)`, in this block.
  template <class Buffers, class... Arguments>
  Buffers buffers(const Arguments&... arguments) {
    Carver count;
    Buffers(count, arguments...);
    Carver carver = carve(count.bytes());
    return Buffers(carver, arguments...);
  }

 private:
  std::shared_ptr<const Allocator> allocator_;
  const DeviceMemory& memory_;
  void* stream_;
  GrowingArray block_;
  std::int64_t bytes_ = 0;
};

}  // namespace natgrad::detail
