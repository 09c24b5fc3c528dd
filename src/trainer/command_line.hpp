#pragma once

#include "trainer/settings.hpp"

#include <optional>
#include <string>

namespace natgrad::trainer {

/// Reads the command line into `line`, or returns a text to print instead (--help, --version).
/// Throws `OptionError` for an option that no row of the tables has, that is given twice or lacks
/// its argument.
std::optional<std::string> parse_command_line(int argc, const char* const* argv, CommandLine& line);

}  // namespace natgrad::trainer
