#pragma once

#include "natgrad/natural_gradient.hpp"

#include <string>

namespace natgrad::detail {

/// Appends "name = value, must be ..." for every part of the damping that is out of range.
void check_damping(const Damping& damping, std::string& errors);

/// Throws one `OptionError` that names every option that is wrong.
void check_options(const NaturalGradient::Options& options);

/// Throws when `errors` is not empty.
void throw_option_errors(const char* caller, const std::string& errors);

}  // namespace natgrad::detail
