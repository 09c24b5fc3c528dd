#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <sstream>
#include <string>

namespace natgrad::detail {

/// The parts one after another, as error messages are built (std::format is younger than the
/// compilers that the library supports).
template <class... Parts>
std::string message(const Parts&... parts) {
  std::ostringstream text;
  text.exceptions(std::ostringstream::badbit);  // else a text that finds no memory is cut short
  (text << ... << parts);
  return std::move(text).str();
}

/// "3.25 MiB"
inline std::string readable(std::int64_t bytes) {
  constexpr double kilo = 1024;
  constexpr std::array units = {"bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  auto value = static_cast<double>(bytes);
  std::size_t unit = 0;
  for (; value >= kilo && unit + 1 < units.size(); ++unit) value /= kilo;
  return message(std::round(100 * value) / 100, ' ', units[unit]);
}

}  // namespace natgrad::detail
