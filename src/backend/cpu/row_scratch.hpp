#pragma once

#include "backend/backend.hpp"
#include "backend/cpu/parallel.hpp"
#include "core/message.hpp"
#include "natgrad/error.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>

// How the scratch of gram, apply and adjoint is laid out; one place for the sizes and their use.

namespace natgrad::cpu {

/// Columns of a factor that are converted to double at a time in the Gram.
inline constexpr std::int64_t dense_conversion_columns = 256;
/// Numbers of a factor that are converted to double at a time in products: 16 MiB.
inline constexpr std::int64_t conversion_numbers = std::int64_t{1} << 21;

/// Rows and columns of a tile of K: three of them fit a core's second-level cache in float, and
/// there are enough to share among the threads. (On two Zen 3 cores 192 is within 5 % of the best
/// size for 1024 and 4096 rows, 64 the best for 256.)
inline std::int64_t gram_tile(std::int64_t n) {
  constexpr std::int64_t tiles_a_thread = 4;
  for (std::int64_t tile : {192, 128, 96}) {
    const std::int64_t side = (n + tile - 1) / tile;
    if (side * (side + 1) / 2 >= tiles_a_thread * threads()) return tile;
  }
  return 64;
}

inline bool converts(const RowBlocks& rows, ElementType type) {
  return !rows.blocks.empty() && rows.blocks.front().output_score.type() != type;
}

inline std::int64_t widest_input(const RowBlocks& rows) {
  std::int64_t widest = 0;
  for (const RowBlock& block : rows.blocks) widest = std::max(widest, block.input.columns());
  return widest;
}

/// Over all blocks, or over those with a weight.
inline std::int64_t widest_output(const RowBlocks& rows, bool with_weight) {
  std::int64_t widest = 0;
  for (const RowBlock& block : rows.blocks) {
    if (!with_weight || block.weight_offset >= 0) {
      widest = std::max(widest, block.output_score.columns());
    }
  }
  return widest;
}

/// Columns of a factor that the Gram's tiles convert at a time; 0 where types are equal.
inline std::int64_t conversion_columns(const RowBlocks& rows, ElementType type) {
  if (!converts(rows, type)) return 0;
  return std::min(dense_conversion_columns,
                  std::max(widest_input(rows), widest_output(rows, false)));
}

/// One thread's buffers for a tile of K.
template <class T>
struct GramScratch {
  T* sum;  // (tile, tile), as are the next two
  T* inputs;
  T* outputs;
  T* left;  // (tile, columns) converted factors, as is the next
  T* right;

  GramScratch(void* memory, int thread, std::int64_t tile, std::int64_t columns)
      : sum(static_cast<T*>(memory) + thread * elements(tile, columns)),
        inputs(sum + tile * tile),
        outputs(inputs + tile * tile),
        left(outputs + tile * tile),
        right(left + tile * columns) {}

  static std::int64_t elements(std::int64_t tile, std::int64_t columns) {
    return 3 * tile * tile + 2 * tile * columns;
  }
};

/// Rows that apply and adjoint take at once: all, or what is converted at a time.
inline std::int64_t product_rows(std::int64_t n, const RowBlocks& rows, ElementType type) {
  if (!converts(rows, type)) return n;
  const std::int64_t widest = std::max(widest_input(rows), widest_output(rows, false));
  return std::min(
      n, std::max<std::int64_t>(1, conversion_numbers / std::max<std::int64_t>(1, widest)));
}

/// Buffers of apply and adjoint.
template <class T>
struct ProductScratch {
  std::int64_t rows;  // taken at once
  T* rhs;             // (N) scaled y
  T* product;         // (rows, widest d_out of a layer with a weight)
  T* outputs;         // (rows, conversion columns) converted factors, as is the next
  T* inputs;

  ProductScratch(void* memory, const RowBlocks& blocks, std::int64_t rows)
      : rows(rows),
        rhs(static_cast<T*>(memory)),
        product(rhs + blocks.rows()),
        outputs(product + rows * widest_output(blocks, true)),
        inputs(outputs + rows * converted(blocks, widest_output(blocks, false))) {}

  static std::int64_t elements(const RowBlocks& blocks, std::int64_t rows, ElementType type) {
    const std::int64_t factors = widest_output(blocks, false) + widest_input(blocks);
    return blocks.rows() +
           rows * (widest_output(blocks, true) + (converts(blocks, type) ? factors : 0));
  }

 private:
  static std::int64_t converted(const RowBlocks& blocks, std::int64_t columns) {
    return converts(blocks, element_type_of<T>) ? columns : 0;
  }
};

inline std::int64_t rows_scratch(const RowBlocks& rows, ElementType type) {
  const std::int64_t n = rows.rows();
  const std::int64_t tile = gram_tile(n);
  const std::int64_t gram =
      threads() * GramScratch<double>::elements(tile, conversion_columns(rows, type));
  const std::int64_t dense = converts(rows, type) ? n * dense_conversion_columns : 0;
  const std::int64_t products =
      ProductScratch<double>::elements(rows, product_rows(n, rows, type), type);
  return std::max({gram, dense, products}) * size_of(type);
}

/// Exceptions must not leave a parallel loop, so that sizes are checked before.
inline void require_blas_sizes(const RowBlocks& rows) {
  constexpr std::int64_t most = std::numeric_limits<int>::max();
  for (const RowBlock& block : rows.blocks) {
    for (const ConstView* view : {&block.input, &block.output_score}) {
      if (view->leading_dimension() > most || view->rows() > most) {
        throw ShapeError(detail::message("rows: a factor of ", view->description(),
                                         " is beyond the BLAS's 32-bit interface (", most, ")"));
      }
    }
  }
}

}  // namespace natgrad::cpu
