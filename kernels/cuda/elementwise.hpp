#pragma once

#include "kernels/cuda/launch.hpp"
#include "kernels/formulas/float_type.hpp"
#include "natgrad/array.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <type_traits>

// Elementwise work over views of one shape, columns along the threads of a warp. An operation is a
// functor f(i, j), run for every element by one kernel:
//
//   map(stream, elements_of({x, y}), Axpby{...});
//
// A functor whose scalars lie on the device has load(), which returns the functor that one thread
// applies to all of its elements, with these scalars read. One that may have nothing to do, by a
// flag on the device, has skips(). Where memory is all that it takes time for, it reads and writes
// several elements apart instead of f(i, j):
//
//   static constexpr int widest = 4;              // adjacent ones at a time, at most
//   bool packs(const Elements& elements) const;  // whether its arrays allow it
//   template <int width> Own read(i, j) const;
//   template <int width> void write(i, j, const Own&) const;

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

/// Adjacent elements that one instruction reads or writes, where they are of 16 bytes or less.
template <class T, int width>
struct alignas(sizeof(T) * width < 16 ? sizeof(T) * width : 16) Pack {
  T elements[width];
};

/// Elements in 16 bytes of the largest of these types.
template <class... T>
inline constexpr int pack_width = 16 / std::max({sizeof(T)...});

template <int width, class T>
NATGRAD_DEVICE Pack<std::remove_const_t<T>, width> read_pack(const Matrix<T>& from, std::int64_t i,
                                                             std::int64_t j) {
  return *reinterpret_cast<const Pack<std::remove_const_t<T>, width>*>(&from(i, j));
}
template <int width, class T>
NATGRAD_DEVICE void write_pack(const Matrix<T>& to, std::int64_t i, std::int64_t j,
                               const Pack<T, width>& pack) {
  *reinterpret_cast<Pack<T, width>*>(&to(i, j)) = pack;
}

/// Whether each row of these elements begins where a pack may stand.
template <int width, class T>
bool begins_with_packs(const Matrix<T>& matrix, const Elements& elements) {
  constexpr std::size_t alignment = alignof(Pack<std::remove_const_t<T>, width>);
  return reinterpret_cast<std::uintptr_t>(matrix.data) % alignment == 0 &&
         (elements.rows <= 1 ||
          static_cast<std::size_t>(matrix.leading_dimension) * sizeof(T) % alignment == 0);
}

/// What a thread reads before it writes: one that waits for each gets little from memory.
inline constexpr int reads_together = 4;

/// write(i, read(i)) for i = first, first + step, ... < end, `reads_together` of them at a time.
template <class Read, class Write>
NATGRAD_DEVICE void read_then_write(std::int64_t first, std::int64_t end, std::int64_t step,
                                    const Read& read, const Write& write) {
  for (std::int64_t i = first; i < end; i += reads_together * step) {
    decltype(read(first)) own[reads_together] = {};
    for (int k = 0; k < reads_together; ++k) {
      if (i + k * step < end) own[k] = read(i + k * step);
    }
    for (int k = 0; k < reads_together; ++k) {
      if (i + k * step < end) write(i + k * step, own[k]);
    }
  }
}

/// Blocks of `threads` that go along a row, where a thread may take `together` columns at a time:
/// it takes one where there are too few of them for all of a device.
inline unsigned blocks_of_row(std::int64_t columns, unsigned threads, int together) {
  constexpr std::int64_t fill_a_device = 512;
  return std::max(blocks_for(columns, std::int64_t{threads} * together),
                  blocks_for(columns, threads, fill_a_device));
}

/// Launches a kernel whose threads go along the rows of elements, `together` columns at a time. Of
/// arrays with few columns a block takes several rows.
template <class Kernel>
void launch_over(Stream stream, const Elements& elements, const Kernel& kernel, int together = 1) {
  if (elements.rows == 0 || elements.columns == 0) return;
  unsigned across = 1;
  while (across < block_threads && across < elements.columns) across *= 2;
  const Extent threads{across, block_threads / across};
  const unsigned columns = blocks_of_row(elements.columns, threads.x, together);
  const Extent blocks{columns, blocks_for(elements.rows, threads.y, most_blocks / columns)};
  launch(stream, blocks, threads, kernel);
}

/// body(functor) with what one thread needs of it, unless it has nothing to do.
template <class Functor, class Body>
NATGRAD_DEVICE void with_loaded(const Functor& functor, const Body& body) {
  if constexpr (requires { functor.skips(); }) {
    if (functor.skips()) return;
  }
  if constexpr (requires { functor.load(); })
    body(functor.load());
  else
    body(functor);
}

template <class Functor>
struct Map {
  static constexpr bool synchronizes = false;
  Elements elements;
  Functor functor;

  NATGRAD_DEVICE void operator()(const Thread& thread) const {
    with_loaded(functor, [&](const auto& loaded) { elements.for_each(thread, loaded); });
  }
};

/// `width` columns at a time, and singly what is left at the end of a row.
template <class Functor, int width>
struct MapPacks {
  static constexpr bool synchronizes = false;
  Elements elements;
  Functor functor;

  NATGRAD_DEVICE void operator()(const Thread& thread) const {
    const std::int64_t packs = elements.columns / width;
    with_loaded(functor, [&](const auto& loaded) {
      for (std::int64_t i = thread.row(); i < elements.rows; i += thread.rows()) {
        read_then_write(
            thread.column(), packs, thread.columns(),
            [&](std::int64_t pack) { return loaded.template read<width>(i, pack * width); },
            [&](std::int64_t pack, const auto& own) {
              loaded.template write<width>(i, pack * width, own);
            });
        for (std::int64_t j = packs * width + thread.column(); j < elements.columns;
             j += thread.columns()) {
          loaded.template write<1>(i, j, loaded.template read<1>(i, j));
        }
      }
    });
  }
};

/// Enqueues the functor for every element.
template <class Functor>
void map(Stream stream, const Elements& elements, const Functor& functor) {
  if constexpr (requires { functor.packs(elements); }) {
    constexpr int width = Functor::widest;
    if (functor.packs(elements)) {
      return launch_over(stream, {elements.rows, (elements.columns + width - 1) / width},
                         MapPacks<Functor, width>{elements, functor}, reads_together);
    }
    launch_over(stream, elements, MapPacks<Functor, 1>{elements, functor}, reads_together);
  } else {
    launch_over(stream, elements, Map<Functor>{elements, functor});
  }
}

}  // namespace natgrad::kernels
