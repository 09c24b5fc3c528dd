#pragma once

#include "natgrad/error.hpp"
#include "natgrad/natural_gradient.hpp"
#include "trainer/option_row.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <charconv>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

// The types of the options' values.

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
inline constexpr Expected<std::int64_t> trial_count{
    "a whole number from 0 to 64", [](std::int64_t n) { return n >= 0 && n <= 64; }};
inline constexpr Expected<std::int64_t> thread_count{
    "a whole number from 1 to 1024", [](std::int64_t n) { return n >= 1 && n <= 1024; }};
inline constexpr Expected<std::uint64_t> key{"a whole number >= 0 that 64 bits hold",
                                             [](std::uint64_t) { return true; }};

[[noreturn]] inline void throw_unexpected(std::string_view option, std::string_view text,
                                          std::string_view expected) {
  throw OptionError(fmt::format("{} {}: expected {}", option, text, expected));
}

/// Reads the whole of `text` as a finite number in range; none where it is no such number.
template <class T>
std::optional<T> read_number(std::string_view text, const Expected<T>& expected) {
  T value{};
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  bool good = error == std::errc() && stop == end;
  if constexpr (std::floating_point<T>) good = good && std::isfinite(value);
  if (!good || !expected.holds(value)) return std::nullopt;
  return value;
}

/// A number, of type T.
template <class T>
ValueType number(const Expected<T>& expected, std::string argument) {
  return {std::move(argument),
          [expected](std::string_view option, std::string_view text) -> std::any {
            if (const auto value = read_number(text, expected)) return *value;
            throw_unexpected(option, text, expected.text);
          },
          [](const std::any& value) { return fmt::format("{}", std::any_cast<T>(value)); }};
}

template <class T>
using Choices = std::vector<std::pair<std::string, T>>;

/// One of several words, each of which stands for a T.
template <class T>
ValueType choice(Choices<T> choices) {
  std::string words;
  for (const auto& [word, meaning] : choices) words += (words.empty() ? "" : "|") + word;
  return {words,
          [choices, words](std::string_view option, std::string_view text) -> std::any {
            for (const auto& [word, meaning] : choices) {
              if (word == text) return meaning;
            }
            throw_unexpected(option, text, words);
          },
          [choices](const std::any& value) -> std::string {
            for (const auto& [word, meaning] : choices) {
              if (std::any_cast<T>(value) == meaning) return word;
            }
            return "?";
          }};
}

/// An option without an argument; its value is true.
inline ValueType flag() {
  return {"", [](std::string_view, std::string_view) -> std::any { return true; },
          [](const std::any&) -> std::string { return "on"; }};
}

/// The name of a file, a std::string that is not empty.
ValueType file_name();

/// One or more names of columns, a std::string that is not empty.
ValueType column_names();

/// A momentum's decay, a double in [0, 1); 0 is printed as "none".
ValueType momentum_decay();

/// Layer widths as 512,512, or "none": std::vector<std::int64_t>.
ValueType width_list();

/// A step's rate: a number > 0, alone or falling to 0 over the run.
struct Rate {
  double first = 0;
  RateDecay decay = RateDecay::none;
};

/// A `Rate` as 0.3 or 0.3:linear.
ValueType rate_and_decay();

/// A `Damping` as 0.03, relative:0.03, 0.1:0.9:0.001 (what it begins with, the factor of an
/// accepted step, its floor), lm or lm:0.1 (Levenberg-Marquardt, and what it begins with), length
/// or length:0.1 (`StepLengthDamping`), length:0.1:0.8:0.001 (falling by a factor a step, and
/// growing after failures).
ValueType damping_number();

}  // namespace natgrad::trainer
