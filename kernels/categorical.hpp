#pragma once

#include "kernels/formula.hpp"
#include "kernels/random.hpp"

#include <cstdint>

// Labels drawn from a categorical distribution.

namespace natgrad::formulas {

/// The uniform number in [0, 1) that label `index` of one drawing follows from. `counter` counts
/// drawings, modulo 2^32.
NATGRAD_FORMULA double label_uniform(std::uint64_t key, std::uint64_t counter,
                                     std::uint64_t index) {
  return uniform(
      random_bits(key, RandomStream::labels, static_cast<std::uint32_t>(counter), index));
}

/// The inverse of the distribution function: the first class c with weight(0) + ... + weight(c) > u
/// total, where weight(c) >= 0 is a multiple of the probability of c and `total` their sum. A class
/// of weight 0 is never taken, also where rounding has left the sum below u total.
template <class Weight>
NATGRAD_FORMULA std::int64_t pick_class(std::int64_t classes, double total, double u,
                                        const Weight& weight) {
  double sum = 0;
  std::int64_t last = -1;
  for (std::int64_t c = 0; c < classes; ++c) {
    const double w = weight(c);
    if (!(w > 0)) continue;
    sum += w;
    last = c;
    if (sum > u * total) break;
  }
  return last;
}

}  // namespace natgrad::formulas
