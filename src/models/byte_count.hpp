#pragma once

#include "natgrad/error.hpp"

#include <cstdint>

namespace natgrad {

/// Bytes of the arrays of a model. Throws `MemoryError` for more than 64 bits count.
class ByteCount {
 public:
  void add(std::int64_t rows, std::int64_t columns, std::int64_t element) {
    std::int64_t array = 0;
    if (__builtin_mul_overflow(rows, columns, &array) ||
        __builtin_mul_overflow(array, element, &array) ||
        __builtin_add_overflow(bytes_, array, &bytes_)) {
      throw MemoryError(
          "fully connected: .sizes, samples and draws make more bytes than an address can count");
    }
  }
  std::int64_t bytes() const { return bytes_; }

 private:
  std::int64_t bytes_ = 0;
};

}  // namespace natgrad
