#pragma once

#include <array>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace natgrad::io {

inline constexpr std::size_t checksum_digits = 16;

/// FNV-1a, 64 bits (Fowler, Noll, Vo 1991). Each byte is xored in and the sum multiplied by an odd
/// number, so that two texts that differ in one byte never have the same sum.
class Checksum {
 public:
  void add(std::span<const std::byte> bytes) {
    for (const std::byte byte : bytes) {
      value_ = (value_ ^ std::to_integer<std::uint64_t>(byte)) * 0x100000001b3;
    }
  }
  /// 16 hexadecimal digits, lower case.
  std::string text() const {
    std::array<char, checksum_digits> digits{};
    const char* end = std::to_chars(digits.begin(), digits.end(), value_, 16).ptr;
    const auto count = static_cast<std::size_t>(end - digits.begin());
    return std::string(checksum_digits - count, '0') + std::string(digits.data(), count);
  }

 private:
  std::uint64_t value_ = 0xcbf29ce484222325;
};

inline std::string checksum_of(std::span<const std::byte> bytes) {
  Checksum checksum;
  checksum.add(bytes);
  return checksum.text();
}

}  // namespace natgrad::io
