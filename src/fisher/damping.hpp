#pragma once

#include "core/option_errors.hpp"
#include "natgrad/damping.hpp"

namespace natgrad::detail {

inline void check_damping(const Damping& damping, OptionErrors& errors) {
  errors.check(".damping.absolute", damping.absolute, damping.absolute >= 0, "finite and >= 0");
  errors.check(".damping.relative", damping.relative, damping.relative >= 0, "finite and >= 0");
}

}  // namespace natgrad::detail
