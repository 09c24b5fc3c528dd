#include "trainer/option_types.hpp"

namespace natgrad::trainer {

namespace {

Rate parse_rate(std::string_view option, std::string_view text) {
  const std::size_t colon = text.find(':');
  const Rate rate = {parse_number(option, text.substr(0, colon), positive), RateDecay::none};
  if (colon == std::string_view::npos) return rate;
  const std::string_view word = text.substr(colon + 1);
  if (word == "linear") return {rate.first, RateDecay::linear};
  if (word == "cosine") return {rate.first, RateDecay::cosine};
  throw_unexpected(option, text, "a number > 0, alone or with :linear or :cosine");
}

std::string rate_in_words(const Rate& rate) {
  if (rate.decay == RateDecay::none) return fmt::format("{}", rate.first);
  return fmt::format("{}:{}", rate.first, rate.decay == RateDecay::linear ? "linear" : "cosine");
}

Damping parse_damping(std::string_view option, std::string_view text) {
  constexpr std::string_view relative = "relative:";
  if (!text.starts_with(relative)) {
    return {.absolute = parse_number(option, text, not_negative), .relative = 0};
  }
  return {.absolute = 0,
          .relative = parse_number(option, text.substr(relative.size()), not_negative)};
}

std::string damping_in_words(const Damping& damping) {
  if (damping.relative != 0) return fmt::format("relative:{}", damping.relative);
  return fmt::format("{}", damping.absolute);
}

std::vector<std::int64_t> parse_widths(std::string_view option, std::string_view text) {
  std::vector<std::int64_t> widths;
  if (text == "none") return widths;
  for (std::string_view rest = text;;) {
    const std::size_t comma = rest.find(',');
    widths.push_back(parse_number(option, rest.substr(0, comma), counting));
    if (comma == std::string_view::npos) return widths;
    rest.remove_prefix(comma + 1);
  }
}

}  // namespace

ValueType file_name() {
  return {"FILE",
          [](std::string_view option, std::string_view text) -> std::any {
            if (text.empty()) throw_unexpected(option, "\"\"", "the name of a file");
            return std::string(text);
          },
          [](const std::any& value) { return std::any_cast<std::string>(value); }};
}

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
  return {"X|relative:X",
          [](std::string_view option, std::string_view text) -> std::any {
            return parse_damping(option, text);
          },
          [](const std::any& value) { return damping_in_words(std::any_cast<Damping>(value)); }};
}

}  // namespace natgrad::trainer
