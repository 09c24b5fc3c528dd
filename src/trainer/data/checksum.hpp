#pragma once

#include <fmt/format.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace natgrad::trainer {

/// FNV-1a, 64 bits (Fowler, Noll, Vo 1991), as for the entries of a checkpoint: what tells data of
/// one size from others, not what keeps a forger out.
class Checksum {
 public:
  void add(std::span<const std::byte> bytes) {
    for (const std::byte byte : bytes) {
      value_ = (value_ ^ std::to_integer<std::uint64_t>(byte)) * 0x100000001b3;
    }
  }
  /// The numbers as they stand in memory.
  template <class T>
  void add_numbers(std::span<const T> numbers) {
    add(std::as_bytes(numbers));
  }
  /// Two texts one after the other are not one that is longer.
  void add_text(std::string_view text) {
    const std::size_t length = text.size();
    add_numbers(std::span(&length, 1));
    add(std::as_bytes(std::span(text)));
  }
  /// 16 hexadecimal digits.
  std::string text() const { return fmt::format("{:016x}", value_); }

 private:
  std::uint64_t value_ = 0xcbf29ce484222325;
};

}  // namespace natgrad::trainer
