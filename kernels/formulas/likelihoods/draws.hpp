#pragma once

#include "kernels/formulas/formula.hpp"
#include "kernels/formulas/random.hpp"

#include <cstdint>

namespace natgrad::formulas {

/// The uniform number in [0, 1) that target `index` of one drawing follows from. `counter` counts
/// drawings, modulo 2^32.
NATGRAD_FORMULA double draw_uniform(std::uint64_t key, std::uint64_t counter, std::uint64_t index) {
  return uniform(
      random_bits(key, RandomStream::labels, static_cast<std::uint32_t>(counter), index));
}

/// The uniform numbers for the draws of one row of outputs: number i belongs to its target i, where
/// targets are counted through all draws of the row. Every backend sees the same numbers.
struct DrawUniforms {
  std::uint64_t key;
  std::uint64_t counter;  // drawings so far
  std::int64_t first;     // index, within this drawing, of the row's first target

  NATGRAD_FORMULA double operator()(std::int64_t i) const {
    return draw_uniform(key, counter, static_cast<std::uint64_t>(first + i));
  }
};

}  // namespace natgrad::formulas
