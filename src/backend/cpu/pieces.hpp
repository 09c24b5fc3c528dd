#pragma once

#include "backend/cpu/parallel.hpp"
#include "natgrad/array.hpp"

#include <cstdint>
#include <initializer_list>

namespace natgrad::cpu {

/// Splits elementwise work over views of one shape into runs of adjacent elements, one thread each:
/// body(row, column, count). Views that are all contiguous are one long row.
template <class Body>
void parallel_runs(std::initializer_list<ConstView> views, const Body& body) {
  const Shape shape = views.begin()->shape();
  bool contiguous = true;
  for (const ConstView& view : views) contiguous = contiguous && view.contiguous();
  if (contiguous) {
    parallel_blocks(shape.size(), grain, [&](std::int64_t begin, std::int64_t end) {
      body(std::int64_t{0}, begin, end - begin);
    });
    return;
  }
  parallel_blocks(shape.rows, row_grain(shape.columns), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) body(row, std::int64_t{0}, shape.columns);
  });
}

/// The address of element (row, column).
template <class T>
const T* at(const ConstView& view, std::int64_t row, std::int64_t column) {
  return static_cast<const T*>(view.data()) + row * view.leading_dimension() + column;
}
template <class T>
T* at(const View& view, std::int64_t row, std::int64_t column) {
  return static_cast<T*>(view.data()) + row * view.leading_dimension() + column;
}

/// The value of a one-element view.
inline double value_of(const ConstView& element) { return *element.as<double>(); }
inline double value_of(const Scalar& scalar) {
  return scalar.is_constant() ? scalar.constant() : value_of(scalar.element());
}

}  // namespace natgrad::cpu
