#pragma once

#include "kernels/cuda/launch.hpp"
#include "kernels/formulas/float_type.hpp"
#include "natgrad/array.hpp"

#include <cstdint>
#include <initializer_list>

// Elementwise work over views of one shape, columns along the threads of a warp. An operation is a
// functor f(i, j), run for every element by one kernel:
//
//   map(stream, elements_of({x, y}), Axpby{...});
//
// A functor whose scalars lie on the device has load(), which returns the functor that one thread
// applies to all of its elements, with these scalars read. One that may have nothing to do, by a
// flag on the device, has skips().

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

/// Those of views of one shape, which are one long row where all views are contiguous.
inline Elements elements_of(std::initializer_list<ConstView> views) {
  const Shape shape = views.begin()->shape();
  for (const ConstView& view : views) {
    if (!view.contiguous()) return {shape.rows, shape.columns};
  }
  return {1, shape.size()};
}

/// Launches a kernel that calls `elements.for_each`. Of arrays with few columns a block takes
/// several rows.
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

template <class Functor>
struct Map {
  static constexpr bool synchronizes = false;
  Elements elements;
  Functor functor;

  NATGRAD_DEVICE void operator()(const Thread& thread) const {
    if constexpr (requires { functor.skips(); }) {
      if (functor.skips()) return;
    }
    if constexpr (requires { functor.load(); })
      elements.for_each(thread, functor.load());
    else
      elements.for_each(thread, functor);
  }
};

/// Enqueues functor(i, j) for every element.
template <class Functor>
void map(Stream stream, const Elements& elements, const Functor& functor) {
  launch_over(stream, elements, Map<Functor>{elements, functor});
}

}  // namespace natgrad::kernels
