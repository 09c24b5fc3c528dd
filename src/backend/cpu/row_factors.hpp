#pragma once

#include "backend/cpu/multiversion.hpp"
#include "backend/cpu/pieces.hpp"
#include "backend/row_uses.hpp"

#include <algorithm>
#include <cstdint>
#include <type_traits>

// Factors of rows in the type that a result is computed in. `Row` is the type of the factors,
// `Result` that of K, z, g and of all arithmetic; where they differ, parts of the factors are
// converted into scratch.

namespace natgrad::cpu {

template <class T>
struct Factor {
  const T* data;
  std::int64_t leading_dimension;
};

/// Rows [first, first + count) and columns [column, column + columns) of a factor as `Result`, in
/// `buffer` where they must be converted.
template <class Row, class Result>
Factor<Result> factor(const ConstView& view, std::int64_t first, std::int64_t count,
                      std::int64_t column, std::int64_t columns, Result* buffer) {
  const Row* source = at<Row>(view, first, column);
  if constexpr (std::is_same_v<Row, Result>) {
    return {source, view.leading_dimension()};
  } else {
    for (std::int64_t i = 0; i < count; ++i) {
      const Row* from = source + i * view.leading_dimension();
      std::copy_n(from, columns, buffer + i * columns);
    }
    return {buffer, columns};
  }
}

/// The row of its weight that an input term of a lookup reads; -1 for an index that is none.
inline std::int64_t word_of(const LayerUse& use, std::int64_t term) {
  const std::int64_t index = *at<std::int32_t>(use.input, term, 0);
  return index >= 0 && index < use.inputs ? index : -1;
}

/// to += factor * from.
template <class Row, class Result>
NATGRAD_MULTIVERSION void add_scaled(Result factor, const Row* from, Result* to,
                                     std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) to[i] += factor * static_cast<Result>(from[i]);
}

template <class T>
NATGRAD_MULTIVERSION T dot_run(const T* x, const T* y, std::int64_t count) {
  constexpr std::int64_t lanes = 16;
  T sums[lanes] = {};
  std::int64_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    for (std::int64_t lane = 0; lane < lanes; ++lane) sums[lane] += x[i + lane] * y[i + lane];
  }
  for (; i < count; ++i) sums[0] += x[i] * y[i];
  T sum = 0;
  for (T part : sums) sum += part;
  return sum;
}

}  // namespace natgrad::cpu
