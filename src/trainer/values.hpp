#pragma once

#include "core/message.hpp"
#include "natgrad/error.hpp"

#include <charconv>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

// Values of command-line options, from text.

namespace natgrad::trainer {

/// What a number must satisfy, and how an error message says so.
template <class T>
struct Expected {
  std::string_view text;
  bool (*holds)(T);
};

inline constexpr Expected<double> positive{"a number > 0", [](double x) { return x > 0; }};
inline constexpr Expected<double> not_negative{"a number >= 0", [](double x) { return x >= 0; }};
inline constexpr Expected<double> decay{"a number >= 0 and < 1",
                                        [](double x) { return x >= 0 && x < 1; }};
inline constexpr Expected<std::int64_t> counting{
    "a whole number from 1 to 10^9", [](std::int64_t n) { return n >= 1 && n <= 1'000'000'000; }};
inline constexpr Expected<std::int64_t> repeats{"a whole number from 0 to 1000",
                                                [](std::int64_t n) { return n >= 0 && n <= 1000; }};
inline constexpr Expected<std::int64_t> thread_count{
    "a whole number from 1 to 1024", [](std::int64_t n) { return n >= 1 && n <= 1024; }};
inline constexpr Expected<std::uint64_t> key{"a whole number >= 0 that 64 bits hold",
                                             [](std::uint64_t) { return true; }};

[[noreturn]] inline void throw_unexpected(std::string_view option, std::string_view text,
                                          std::string_view expected) {
  throw OptionError(detail::message(option, " ", text, ": expected ", expected));
}

/// The whole of `text` as a number in range and finite.
template <class T>
T parse_number(std::string_view option, std::string_view text, const Expected<T>& expected) {
  T value{};
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  bool good = error == std::errc() && stop == end;
  if constexpr (std::floating_point<T>) good = good && std::isfinite(value);
  if (!good || !expected.holds(value)) throw_unexpected(option, text, expected.text);
  return value;
}

/// "512,512", or "none" for no element.
inline std::vector<std::int64_t> parse_list(std::string_view option, std::string_view text) {
  std::vector<std::int64_t> values;
  if (text == "none") return values;
  for (std::string_view rest = text;;) {
    const std::size_t comma = rest.find(',');
    values.push_back(parse_number(option, rest.substr(0, comma), counting));
    if (comma == std::string_view::npos) return values;
    rest.remove_prefix(comma + 1);
  }
}

}  // namespace natgrad::trainer
