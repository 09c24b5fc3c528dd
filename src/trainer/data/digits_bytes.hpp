#pragma once

#include <cstdint>
#include <span>

namespace natgrad::trainer {

/// The bytes of data/digits.csv.gz; the build makes the definition.
std::span<const std::uint8_t> digits_bytes();

}  // namespace natgrad::trainer
