#pragma once

#include <sstream>
#include <string>

namespace natgrad::detail {

/// The parts one after another, as error messages are built (std::format is younger than the
/// compilers that the library supports).
template <class... Parts>
std::string message(const Parts&... parts) {
  std::ostringstream text;
  (text << ... << parts);
  return std::move(text).str();
}

}  // namespace natgrad::detail
