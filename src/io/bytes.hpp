#pragma once

#include "core/message.hpp"
#include "natgrad/error.hpp"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace natgrad::io {

template <class T>
concept Number = std::is_arithmetic_v<T>;

inline std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text));
}

inline std::string text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// Numbers in this machine's byte order and texts, one after another.
class ByteWriter {
 public:
  template <Number T>
  void number(T value) {
    append(std::as_bytes(std::span(&value, 1)));
  }
  void text(std::string_view text) {
    number(static_cast<std::uint64_t>(text.size()));
    append(bytes_of(text));
  }
  std::vector<std::byte> take() { return std::move(bytes_); }

 private:
  void append(std::span<const std::byte> bytes) {
    bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
  }

  std::vector<std::byte> bytes_;
};

/// Reads what a `ByteWriter` wrote. Throws `FileError` that begins with `name` where the bytes end
/// too early or too late.
class ByteReader {
 public:
  ByteReader(std::span<const std::byte> bytes, std::string name)
      : bytes_(bytes), name_(std::move(name)) {}

  template <Number T>
  T number() {
    T value{};
    std::memcpy(&value, take(sizeof(T)).data(), sizeof(T));
    return value;
  }
  std::string text() { return text_of(take(number<std::uint64_t>())); }
  std::span<const std::byte> take(std::uint64_t count) {
    if (count > bytes_.size()) throw FileError(detail::message(name_, " ends too early"));
    const std::span<const std::byte> taken = bytes_.first(static_cast<std::size_t>(count));
    bytes_ = bytes_.subspan(taken.size());
    return taken;
  }
  void end() const {
    if (!bytes_.empty()) {
      throw FileError(detail::message(name_, " is ", bytes_.size(), " bytes too long"));
    }
  }

 private:
  std::span<const std::byte> bytes_;
  std::string name_;
};

}  // namespace natgrad::io
