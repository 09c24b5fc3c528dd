#pragma once

#include "kernels/formulas/densities/density.hpp"

#include <cmath>
#include <cstdint>

namespace natgrad::formulas {

/// The score of one sample; with a weight, of a quadrature, sqrt(weight p(x)) times it, and zeros
/// where that is 0.
template <class F, class T>
NATGRAD_FORMULA void density_row(const DensityAt& at, const T* x, const double* weight, T* row) {
  F::score(at, x, row);
  if (weight == nullptr) return;
  const double factor = std::sqrt(*weight * std::exp(F::log_p(at, x)));
  const std::int64_t parameters = F::parameters(at.shape);
  for (std::int64_t j = 0; j < parameters; ++j) {
    row[j] = static_cast<T>(factor == 0 ? 0 : factor * static_cast<double>(row[j]));
  }
}

}  // namespace natgrad::formulas
