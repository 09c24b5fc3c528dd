#pragma once

#include "natgrad/natural_gradient.hpp"

namespace natgrad::detail {

/// Throws one `OptionError` that names every option that is wrong.
void check_options(const NaturalGradient::Options& options, ElementType parameters);

}  // namespace natgrad::detail
