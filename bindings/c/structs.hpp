#pragma once

#include "core/message.hpp"
#include "natgrad/error.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

// Structs that cross the border begin with their size, by which the caller's version and the
// library's come to terms.

namespace natgrad::c {

/// The size of a struct's first version, below which no caller's can be. Specialize it for a struct
/// that has grown since 0.1.
template <class T>
inline constexpr std::size_t first_size = sizeof(T);

/// No version of a struct is larger than that: a size beyond was never set.
inline constexpr std::size_t largest_struct = 4096;

/// Throws `OptionError` for a size that no version of the struct has.
inline void check_struct_size(const char* name, std::size_t size, std::size_t first) {
  if (size >= first && size <= largest_struct) return;
  throw OptionError(detail::message(name, ": size is ", size, ", not ", first,
                                    " or more; was the struct's _init function called?"));
}

/// The caller's struct, or the defaults for null. What a smaller one lacks has its default. Throws
/// `OptionError` for a size that none has, and for a larger one whose rest is not zero.
template <class T>
T read_struct(const char* name, const T* given, const T& defaults,
              std::size_t first = first_size<T>) {
  static_assert(std::is_trivially_copyable_v<T>);
  T own = defaults;
  own.size = sizeof(T);
  if (given == nullptr) return own;
  const std::size_t size = given->size;
  check_struct_size(name, size, first);
  const auto* bytes = reinterpret_cast<const std::byte*>(given);
  for (std::size_t i = sizeof(T); i < size; ++i) {
    if (bytes[i] != std::byte{0}) {
      throw OptionError(detail::message(name, ": its ", size, " bytes are of a newer version than ",
                                        "this library's ", sizeof(T),
                                        ", and what this one does not know is not 0"));
    }
  }
  std::memcpy(&own, given, std::min(size, sizeof(T)));
  own.size = sizeof(T);
  return own;
}

/// Fills the caller's struct of `size` bytes: cut, or followed by zeros. Throws `OptionError` for a
/// size that none has.
template <class T>
void write_struct(const char* name, T* given, std::size_t size, T own,
                  std::size_t first = first_size<T>) {
  static_assert(std::is_trivially_copyable_v<T>);
  if (given == nullptr) throw ArgumentError(detail::message(name, " is null"));
  check_struct_size(name, size, first);
  own.size = size;
  auto* bytes = reinterpret_cast<std::byte*>(given);
  std::memcpy(bytes, &own, std::min(size, sizeof(T)));
  if (size > sizeof(T)) std::memset(bytes + sizeof(T), 0, size - sizeof(T));
}

/// The same for a struct whose size the caller has set.
template <class T>
void write_struct(const char* name, T* given, const T& own) {
  if (given == nullptr) throw ArgumentError(detail::message(name, " is null"));
  write_struct(name, given, given->size, own);
}

/// Throws `OptionError` for a field that later versions may give a meaning.
inline void require_reserved(const char* name, std::int32_t reserved) {
  if (reserved != 0)
    throw OptionError(detail::message(name, ": reserved is ", reserved, ", not 0"));
}

/// An enumerator of the C++ interface, whose own checks follow: here it must not lose digits.
template <class Enum>
Enum enumerator(const char* name, std::int32_t value) {
  constexpr std::int32_t largest = 255;
  if (value < 0 || value > largest) {
    throw OptionError(detail::message(name, ": ", value, " is no value of it"));
  }
  return static_cast<Enum>(value);
}

}  // namespace natgrad::c
