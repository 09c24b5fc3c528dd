#pragma once

#include "natgrad/models/densities.hpp"

namespace natgrad::detail {

/// Throws `OptionError` naming every option of a density that is wrong.
void check_density_options(const Density::Options& options);

}  // namespace natgrad::detail
