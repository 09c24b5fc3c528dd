#pragma once

#include "core/option_errors.hpp"
#include "natgrad/models/densities.hpp"

namespace natgrad::detail {

/// Squares of statistics up to this size, and sums of them, are finite in double.
inline constexpr double largest_statistic = 1e150;
/// Statistics and scores up to this size are finite in float.
inline constexpr double largest_float_statistic = 1e37;

/// Notes what is wrong with a support.
void check_support(const Support& support, OptionErrors& errors);

/// Throws `OptionError` naming every option of a density that is wrong.
void check_density_options(const Density::Options& options);

}  // namespace natgrad::detail
