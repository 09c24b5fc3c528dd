#include "trainer/option_types.hpp"

#include <variant>

namespace natgrad::trainer {

namespace {

Rate parse_rate(std::string_view option, std::string_view text) {
  const std::size_t colon = text.find(':');
  if (const auto rate = read_number(text.substr(0, colon), positive)) {
    if (colon == std::string_view::npos) return {*rate, RateDecay::none};
    const std::string_view word = text.substr(colon + 1);
    if (word == "linear") return {*rate, RateDecay::linear};
    if (word == "cosine") return {*rate, RateDecay::cosine};
  }
  throw_unexpected(option, text, "a number > 0, alone or with :linear or :cosine");
}

std::string rate_in_words(const Rate& rate) {
  if (rate.decay == RateDecay::none) return fmt::format("{}", rate.first);
  return fmt::format("{}:{}", rate.first, rate.decay == RateDecay::linear ? "linear" : "cosine");
}

/// "X:FACTOR:FLOOR"; none where it is not.
std::optional<Damping> read_schedule(std::string_view text) {
  const std::size_t first = text.find(':');
  const std::size_t second = text.find(':', first + 1);
  if (first == std::string_view::npos || second == std::string_view::npos) return std::nullopt;
  const auto start = read_number(text.substr(0, first), positive);
  const auto factor = read_number(text.substr(first + 1, second - first - 1), positive);
  const auto floor = read_number(text.substr(second + 1), positive);
  if (!start || !factor || !floor || *factor > 1 || *floor > *start) return std::nullopt;
  return Damping{.absolute = *start, .rule = DampingSchedule{.factor = *factor, .floor = *floor}};
}

/// "lm" or "lm:X"; none where it is not.
std::optional<Damping> read_levenberg_marquardt(std::string_view text) {
  constexpr std::string_view name = "lm";
  Damping damping{.rule = LevenbergMarquardt{}};
  if (text == name) return damping;
  if (!text.starts_with("lm:")) return std::nullopt;
  const auto start = read_number(text.substr(name.size() + 1), positive);
  const LevenbergMarquardt bounds;
  if (!start || *start < bounds.smallest || *start > bounds.largest) return std::nullopt;
  damping.absolute = *start;
  return damping;
}

/// "length", "length:X", or "length:X:FACTOR:FLOOR", which takes every step for a long one; none
/// where it is not.
std::optional<Damping> read_step_length(std::string_view text) {
  constexpr std::string_view name = "length";
  const StepLengthDamping bounds;
  Damping damping{.absolute = 1e-3, .rule = bounds};
  if (text == name) return damping;
  if (!text.starts_with("length:")) return std::nullopt;
  const std::string_view numbers = text.substr(name.size() + 1);
  const auto schedule = read_schedule(numbers);
  if (schedule) {
    const auto& falling = std::get<DampingSchedule>(schedule->rule);
    damping.absolute = schedule->absolute;
    damping.rule = StepLengthDamping{
        .long_rate = 0, .short_rate = 0, .decrease = falling.factor, .smallest = falling.floor};
  } else {
    const auto start = read_number(numbers, positive);
    if (!start || *start < bounds.smallest) return std::nullopt;
    damping.absolute = *start;
  }
  if (damping.absolute > bounds.largest) return std::nullopt;
  return damping;
}

Damping parse_damping(std::string_view option, std::string_view text) {
  if (const auto damping = read_levenberg_marquardt(text)) return *damping;
  if (const auto damping = read_step_length(text)) return *damping;
  if (const auto damping = read_schedule(text)) return *damping;
  constexpr std::string_view relative = "relative:";
  const bool is_relative = text.starts_with(relative);
  const auto number = read_number(is_relative ? text.substr(relative.size()) : text, not_negative);
  if (!number) {
    throw_unexpected(
        option, text,
        "a number >= 0, alone or behind relative:, X:FACTOR:FLOOR with 0 < FACTOR <= 1 "
        "and 0 < FLOOR <= X, lm, lm:X, length, length:X or length:X:FACTOR:FLOOR with 1e-13 <= X "
        "<= "
        "1");
  }
  return {.absolute = is_relative ? 0 : *number, .relative = is_relative ? *number : 0};
}

std::string damping_in_words(const Damping& damping) {
  if (std::holds_alternative<LevenbergMarquardt>(damping.rule)) {
    return fmt::format("lm:{}", damping.absolute);
  }
  if (const auto* schedule = std::get_if<DampingSchedule>(&damping.rule)) {
    return fmt::format("{}:{}:{}", damping.absolute, schedule->factor, schedule->floor);
  }
  if (const auto* length = std::get_if<StepLengthDamping>(&damping.rule)) {
    if (length->long_rate > 0) return fmt::format("length:{}", damping.absolute);
    return fmt::format("length:{}:{}:{}", damping.absolute, length->decrease, length->smallest);
  }
  if (damping.relative != 0) return fmt::format("relative:{}", damping.relative);
  return fmt::format("{}", damping.absolute);
}

std::vector<std::int64_t> parse_widths(std::string_view option, std::string_view text) {
  std::vector<std::int64_t> widths;
  if (text == "none") return widths;
  for (std::string_view rest = text;;) {
    const std::size_t comma = rest.find(',');
    const auto width = read_number(rest.substr(0, comma), counting);
    if (!width) {
      throw_unexpected(option, text, "whole numbers from 1 to 10^9 as in 512,512, or none");
    }
    widths.push_back(*width);
    if (comma == std::string_view::npos) return widths;
    rest.remove_prefix(comma + 1);
  }
}

/// Any text but an empty one, in whose place `expected` should be.
ValueType named(std::string argument, std::string expected) {
  return {
      std::move(argument),
      [expected = std::move(expected)](std::string_view option, std::string_view text) -> std::any {
        if (text.empty()) throw_unexpected(option, "\"\"", expected);
        return std::string(text);
      },
      [](const std::any& value) { return std::any_cast<std::string>(value); }};
}

}  // namespace

ValueType file_name() { return named("FILE", "the name of a file"); }
ValueType column_names() { return named("COLUMN", "the name of a column"); }

ValueType momentum_decay() {
  ValueType type = number(decay, "X");
  type.in_words = [](const std::any& value) -> std::string {
    const auto number = std::any_cast<double>(value);
    return number == 0 ? "none" : fmt::format("{}", number);
  };
  return type;
}

ValueType width_list() {
  return {"LIST|none",
          [](std::string_view option, std::string_view text) -> std::any {
            return parse_widths(option, text);
          },
          [](const std::any& value) -> std::string {
            const auto& widths = std::any_cast<const std::vector<std::int64_t>&>(value);
            return widths.empty() ? "none" : fmt::format("{}", fmt::join(widths, ","));
          }};
}

ValueType rate_and_decay() {
  return {"X[:linear|:cosine]",
          [](std::string_view option, std::string_view text) -> std::any {
            return parse_rate(option, text);
          },
          [](const std::any& value) { return rate_in_words(std::any_cast<Rate>(value)); }};
}

ValueType damping_number() {
  return {"X|relative:X|X:FACTOR:FLOOR|lm[:X]|length[:X[:FACTOR:FLOOR]]",
          [](std::string_view option, std::string_view text) -> std::any {
            return parse_damping(option, text);
          },
          [](const std::any& value) { return damping_in_words(std::any_cast<Damping>(value)); }};
}

}  // namespace natgrad::trainer
