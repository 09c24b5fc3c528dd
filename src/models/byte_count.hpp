#pragma once

#include "core/message.hpp"
#include "natgrad/error.hpp"

#include <cstdint>
#include <string_view>

namespace natgrad {

/// Bytes of the arrays of a model. Throws `MemoryError` for more than 64 bits count.
class ByteCount {
 public:
  /// `of`: what errors say makes these bytes.
  explicit ByteCount(std::string_view of = "fully connected: .sizes, samples and draws")
      : of_(of) {}

  void add(std::int64_t rows, std::int64_t columns, std::int64_t element) {
    std::int64_t array = 0;
    if (__builtin_mul_overflow(rows, columns, &array) ||
        __builtin_mul_overflow(array, element, &array) ||
        __builtin_add_overflow(bytes_, array, &bytes_)) {
      throw MemoryError(detail::message(of_, " make more bytes than an address can count"));
    }
  }
  std::int64_t bytes() const { return bytes_; }

 private:
  std::string_view of_;
  std::int64_t bytes_ = 0;
};

}  // namespace natgrad
