#pragma once

#include <Random123/philox.h>

#include <cstdint>

// Counter-based random numbers (Salmon, Moraes, Dror, Shaw 2011, "Parallel random numbers: as easy
// as 1, 2, 3"; philox4x32-10 as implemented by Random123). A number is a function of (seed, stream,
// part, index) alone: the same bits on every machine, in any order.

namespace natgrad::trainer {

/// What a sequence of random numbers is for; sequences of one seed do not overlap. The library's
/// models draw from 1 and 4 to 9 of the same seed (kernels/formulas/random.hpp).
enum class RandomStream : std::uint32_t { split = 2, shuffle = 3, starts = 16, actions = 17 };

/// Returns 64 random bits, number `index` of sequence (`seed`, `stream`, `part`). `part` tells
/// apart the members of a family, such as epochs.
inline std::uint64_t random_bits(std::uint64_t seed, RandomStream stream, std::uint32_t part,
                                 std::uint64_t index) {
  const r123::Philox4x32::ctr_type counter = {{static_cast<std::uint32_t>(index),
                                               static_cast<std::uint32_t>(index >> 32), part,
                                               static_cast<std::uint32_t>(stream)}};
  const r123::Philox4x32::key_type key = {
      {static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32)}};
  const r123::Philox4x32::ctr_type bits = r123::Philox4x32()(counter, key);
  return static_cast<std::uint64_t>(bits[1]) << 32 | bits[0];
}

/// Returns a number uniform in {0, ..., count - 1}, the upper half of bits * count, for count <
/// 2^32. The bias is below count / 2^64.
inline std::uint64_t uniform_below(std::uint64_t bits, std::uint64_t count) {
  const std::uint64_t low = (bits & 0xffffffff) * count;
  return ((bits >> 32) * count + (low >> 32)) >> 32;
}

}  // namespace natgrad::trainer
