#pragma once

#include "kernels/formulas/densities/table.hpp"
#include "natgrad/array.hpp"
#include "natgrad/models/densities.hpp"
#include "natgrad/types.hpp"

#include <vector>

namespace natgrad {

/// What of a density does not change with theta.
struct DensityModel {
  DensityFamily family = {};
  DensityShape shape = {};
  formulas::DensitySizes sizes = {};
  ConstView constants;  // empty where it has none
};

/// Without constants.
DensityModel model_of(const Density::Options& options);

/// Neither closed form nor quadrature.
bool diverges_by_sampling(const formulas::DensitySizes& sizes);

/// The statistics of every point, and the logarithms of the weights. Throws `OptionError` for
/// statistics that are not finite, or too large for samples of this type.
std::vector<double> constants_of(const Support& support, ElementType type);

/// The theta that a density starts from.
std::vector<double> standard_theta(const formulas::DensitySizes& sizes);

}  // namespace natgrad
