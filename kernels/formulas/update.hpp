#pragma once

#include "kernels/formulas/formula.hpp"

#include <cmath>

namespace natgrad::formulas {

/// An element of an updated tensor, keep theta + rate d. One rounding of rate d less than compilers
/// leave to themselves: where the check of an update and the update were rounded in different ways,
/// one could overflow that the other calls finite.
template <class T>
NATGRAD_FORMULA T updated(T theta, T d, T rate, T keep) {
  return std::fma(rate, d, keep * theta);
}

}  // namespace natgrad::formulas
