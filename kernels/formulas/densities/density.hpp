#pragma once

#include "kernels/formulas/formula.hpp"
#include "kernels/formulas/random.hpp"

#include <cmath>
#include <cstdint>

namespace natgrad {

/// The sizes of a density: D numbers of a sample, K components of a mixture, Q points of the
/// support of an exponential family.
struct DensityShape {
  std::int64_t dimensions = 1;
  std::int64_t components = 1;
  std::int64_t points = 0;
};

/// A density at one theta, in memory of one device.
struct DensityAt {
  DensityShape shape;
  const double* constants = nullptr;  // of the family: the support of an exponential family
  const double* theta = nullptr;      // (P)
  const double* prepared = nullptr;   // what its `prepare` made of theta
};

/// One tensor of a density's parameters, and where it starts: its rows go evenly from `first` to
/// `last`. Without elements it is not there.
struct DensityTensor {
  const char* name = "";
  std::int64_t rows = 0;
  std::int64_t columns = 1;
  double first = 0;
  double last = 0;
};
struct DensityTensors {
  DensityTensor tensors[3];
};

namespace formulas {

inline constexpr double log_two_pi = 1.8378770664093454836;
inline constexpr double two_pi = 6.2831853071795864769;
inline constexpr double sqrt_two = 1.4142135623730950488;

/// The numbers that one sample is drawn from: number i is number first + i of the drawing, the same
/// uniform bits on every backend.
struct DensityDraws {
  std::uint64_t key;
  std::uint64_t counter;  // drawings so far, modulo 2^32
  std::int64_t first;

  NATGRAD_FORMULA double uniform(std::int64_t i) const {
    return formulas::uniform(random_bits(key, RandomStream::densities,
                                         static_cast<std::uint32_t>(counter),
                                         static_cast<std::uint64_t>(first + i)));
  }
  /// Standard normal, from the uniform numbers i and i + 1 (Box, Muller 1958).
  NATGRAD_FORMULA double normal(std::int64_t i) const {
    return std::sqrt(-2 * std::log(1 - uniform(i))) * std::cos(two_pi * uniform(i + 1));
  }
};

/// 0, and NaN for a number that is not finite.
NATGRAD_FORMULA double zero_if_finite(double x) { return 0 * x; }

}  // namespace formulas
}  // namespace natgrad
