#pragma once

#include "backend/backend.hpp"
#include "natgrad/array.hpp"

#include <cstddef>
#include <cstdint>
#include <vector>

// What sums over the squares of rows have in common.

namespace natgrad::detail {

/// The numbers of a double buffer from `first` on as a matrix.
inline View matrix_in(const View& buffer, std::int64_t first, Shape shape) {
  return {buffer.as<double>() + first, shape, {.device = buffer.device()}};
}

/// Numbers of both factors of so many rows.
inline std::int64_t squared_numbers(const LayerUse& use, std::int64_t rows) {
  return rows * use.outputs + rows / use.rows_per_input * use.inputs;
}

/// Every tensor is a block by itself.
inline const std::vector<std::vector<std::size_t>>& no_groups() {
  static const std::vector<std::vector<std::size_t>> none;
  return none;
}

}  // namespace natgrad::detail
