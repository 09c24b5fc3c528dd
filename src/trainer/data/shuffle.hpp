#pragma once

#include "trainer/data/random.hpp"

#include <cstdint>
#include <vector>

namespace natgrad::trainer {

/// Returns a uniform permutation of 0 ... count - 1 (Fisher and Yates, on the numbers of
/// random.hpp): the same on every machine for the same (seed, stream, part). 0 <= count < 2^31.
std::vector<std::int32_t> shuffled(std::uint64_t seed, RandomStream stream, std::uint32_t part,
                                   std::int64_t count);

}  // namespace natgrad::trainer
