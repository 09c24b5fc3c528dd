#pragma once

#include "kernels/formulas/random.hpp"

#include <cstdint>
#include <vector>

namespace natgrad::io {

/// A permutation of 0 ... count - 1, uniform (Fisher and Yates on the numbers of
/// kernels/formulas/random.hpp): the same on every machine for the same (seed, stream, part). 0 <=
/// count < 2^31.
std::vector<std::int32_t> shuffled(std::uint64_t seed, formulas::RandomStream stream,
                                   std::uint32_t part, std::int64_t count);

}  // namespace natgrad::io
