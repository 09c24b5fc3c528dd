#pragma once

#include "kernels/cuda/launch.hpp"
#include "kernels/formulas/float_type.hpp"
#include "natgrad/array.hpp"

#include <cstdint>
#include <initializer_list>

// Elementwise work over views of one shape, columns along the threads of a warp.

namespace natgrad::kernels {

template <class Body>
void with_element_type(ElementType type, const Body& body) {
  if (type == ElementType::int32)
    body(std::int32_t{});
  else
    with_float_type(type, body);
}

template <class T>
Matrix<const T> matrix(const ConstView& view) {
  return {static_cast<const T*>(view.data()), view.rows(), view.columns(),
          view.leading_dimension()};
}
template <class T>
Matrix<T> matrix(const View& view) {
  return {static_cast<T*>(view.data()), view.rows(), view.columns(), view.leading_dimension()};
}

/// The elements that a kernel walks over.
struct Elements {
  std::int64_t rows;
  std::int64_t columns;

  /// body(row, column) for the elements of one thread.
  template <class Body>
  NATGRAD_DEVICE void for_each(const Thread& thread, const Body& body) const {
    for (std::int64_t i = thread.row(); i < rows; i += thread.rows()) {
      for (std::int64_t j = thread.column(); j < columns; j += thread.columns()) body(i, j);
    }
  }
};

/// Those of views of one shape; views that are all contiguous are one long row.
inline Elements elements_of(std::initializer_list<ConstView> views) {
  const Shape shape = views.begin()->shape();
  for (const ConstView& view : views) {
    if (!view.contiguous()) return {shape.rows, shape.columns};
  }
  return {1, shape.size()};
}

/// Launches a kernel that calls `elements.for_each`. Narrow arrays have several rows in a block.
template <class Kernel>
void launch_over(Stream stream, const Elements& elements, const Kernel& kernel) {
  if (elements.rows == 0 || elements.columns == 0) return;
  unsigned across = 1;
  while (across < block_threads && across < elements.columns) across *= 2;
  const Extent threads{across, block_threads / across};
  const unsigned columns = blocks_for(elements.columns, threads.x);
  const Extent blocks{columns, blocks_for(elements.rows, threads.y, most_blocks / columns)};
  launch(stream, blocks, threads, kernel);
}

}  // namespace natgrad::kernels
