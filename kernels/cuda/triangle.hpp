#pragma once

#include "kernels/cuda/intrinsics.hpp"

#include <cstdint>

namespace natgrad::kernels {

/// Which elements of a square matrix a kernel reads and writes.
enum class Part : std::uint8_t { all, lower, upper };

inline Part triangle(bool lower) { return lower ? Part::lower : Part::upper; }

NATGRAD_DEVICE bool within(Part part, std::int64_t i, std::int64_t j) {
  return part == Part::all || (part == Part::lower ? j <= i : j >= i);
}

}  // namespace natgrad::kernels
