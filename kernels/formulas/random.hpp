#pragma once

#include "kernels/formulas/formula.hpp"

#include <Random123/philox.h>

#include <cstdint>

// Counter-based random numbers (Salmon, Moraes, Dror, Shaw 2011, "Parallel random numbers: as easy
// as 1, 2, 3"; philox4x32-10 as implemented by Random123). A number is a function of (seed, stream,
// index) alone: the same bits on every backend and machine, in any order, with any number of
// threads.

namespace natgrad::formulas {

/// What a sequence of random numbers is for; sequences of one seed do not overlap.
enum class RandomStream : std::uint32_t {
  weights = 1,
  split = 2,
  shuffle = 3,
  directions = 4,
  labels = 5,
  densities = 6,
  spins = 7,
  points = 8,
  faces = 9
};

/// 64 random bits, number `index` of sequence (`seed`, `stream`, `part`). `part` tells apart the
/// members of a family, such as layers or epochs.
NATGRAD_FORMULA std::uint64_t random_bits(std::uint64_t seed, RandomStream stream,
                                          std::uint32_t part, std::uint64_t index) {
  const r123::Philox4x32::ctr_type counter = {{static_cast<std::uint32_t>(index),
                                               static_cast<std::uint32_t>(index >> 32), part,
                                               static_cast<std::uint32_t>(stream)}};
  const r123::Philox4x32::key_type key = {
      {static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32)}};
  const r123::Philox4x32::ctr_type bits = r123::Philox4x32()(counter, key);
  return static_cast<std::uint64_t>(bits[1]) << 32 | bits[0];
}

/// Uniform in [0, 1): the upper 53 bits, exact in double.
NATGRAD_FORMULA double uniform(std::uint64_t bits) {
  return static_cast<double>(bits >> 11) * 0x1.0p-53;
}

/// Uniform in {0, ..., count - 1}: the upper half of bits * count. The bias is below count / 2^64.
NATGRAD_FORMULA std::uint64_t uniform_below(std::uint64_t bits, std::uint64_t count) {
  const std::uint64_t low = (bits & 0xffffffff) * (count & 0xffffffff);
  const std::uint64_t middle = (bits >> 32) * (count & 0xffffffff) + (low >> 32);
  const std::uint64_t other = (bits & 0xffffffff) * (count >> 32) + (middle & 0xffffffff);
  return (bits >> 32) * (count >> 32) + (middle >> 32) + (other >> 32);
}

}  // namespace natgrad::formulas
