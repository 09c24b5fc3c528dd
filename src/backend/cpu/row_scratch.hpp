#pragma once

#include "backend/backend.hpp"
#include "backend/cpu/parallel.hpp"
#include "core/message.hpp"
#include "natgrad/error.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>

// How the scratch of gram, apply and adjoint is laid out; one place for the sizes and their use.
// Sizes depend on the shapes of the uses alone, so that they can be planned.

namespace natgrad::cpu {

/// Columns of a factor that the Gram's tiles convert at a time.
inline constexpr std::int64_t conversion_columns = 256;
/// Columns of the rows that the Gram materializes at a time.
inline constexpr std::int64_t materialized_columns = 512;
/// Terms of a row that are converted at a time where rows are materialized.
inline constexpr std::int64_t materialized_terms = 256;
/// Numbers of a factor that apply and adjoint take at a time: 16 MiB in float.
inline constexpr std::int64_t product_numbers = std::int64_t{1} << 22;

inline constexpr std::int64_t largest_gram_tile = 192;

/// Rows and columns of a tile of K: three of them fit a core's second-level cache in float, and
/// there are enough to share among the threads. (On two Zen 3 cores 192 is within 5 % of the best
/// size for 1024 and 4096 rows, 64 the best for 256.) At least `most_pairwise_terms`.
inline std::int64_t gram_tile(std::int64_t n) {
  constexpr std::int64_t tiles_a_thread = 4;
  for (std::int64_t tile : {largest_gram_tile, std::int64_t{128}, std::int64_t{96}}) {
    const std::int64_t side = (n + tile - 1) / tile;
    if (side * (side + 1) / 2 >= tiles_a_thread * threads()) return tile;
  }
  return most_pairwise_terms;
}

/// One thread's buffers for a tile of K.
template <class T>
struct TileScratch {
  T* sum;  // (tile, tile), as are the next two
  T* inputs;
  T* outputs;
  T* left;  // (tile, conversion columns), as is the next; where types differ
  T* right;

  TileScratch(void* memory, int thread, std::int64_t tile, bool converts)
      : sum(static_cast<T*>(memory) + thread * elements(tile, converts)),
        inputs(sum + tile * tile),
        outputs(inputs + tile * tile),
        left(outputs + tile * tile),
        right(left + tile * conversion_columns) {}

  static std::int64_t elements(std::int64_t tile, bool converts) {
    return 3 * tile * tile + (converts ? 2 * tile * conversion_columns : 0);
  }
};

/// Buffers of columns that are materialized.
template <class T>
struct MaterializedScratch {
  T* rows;         // (N, materialized columns)
  T* conversions;  // a thread: (materialized terms, materialized columns + 1)

  MaterializedScratch(void* memory, std::int64_t n)
      : rows(static_cast<T*>(memory)), conversions(rows + n * materialized_columns) {}

  T* conversion(int thread) const { return conversions + thread * conversion_numbers; }

  static constexpr std::int64_t conversion_numbers =
      materialized_terms * (materialized_columns + 1);
  static std::int64_t elements(std::int64_t n, bool converts) {
    return n * materialized_columns + (converts ? threads() * conversion_numbers : 0);
  }
};

/// How apply and adjoint go through one use of a layer: so many of its rows at once, a multiple of
/// the rows of an input.
struct ProductPieces {
  std::int64_t rows;
  std::int64_t product;  // numbers of each buffer
  std::int64_t outputs;
  std::int64_t inputs;

  ProductPieces(const LayerUse& use, bool converts) {
    const std::int64_t width = use.lookup ? use.outputs : std::max(use.inputs, use.outputs);
    const std::int64_t group = use.rows_per_input;
    const std::int64_t numbers = std::max<std::int64_t>(1, group * use.terms * width);
    const std::int64_t groups = std::max<std::int64_t>(1, product_numbers / numbers);
    rows = std::min(use.rows, groups * group);
    product = rows * use.terms * (use.inputs > 0 ? use.outputs : 1);
    outputs = converts ? rows * use.terms * use.outputs : 0;
    inputs = converts && !use.lookup ? rows / group * use.terms * use.inputs : 0;
  }
};

/// Buffers of apply and adjoint for one use.
template <class T>
struct ProductScratch {
  T* rhs;      // (N) scaled y
  T* product;  // (rows T, d_out), or (rows T) without a weight
  T* outputs;  // converted factors, as is the next
  T* inputs;

  ProductScratch(void* memory, std::int64_t n, const ProductPieces& pieces)
      : rhs(static_cast<T*>(memory)),
        product(rhs + n),
        outputs(product + pieces.product),
        inputs(outputs + pieces.outputs) {}
};

inline std::int64_t rows_scratch(std::span<const LayerUse> uses, std::int64_t n, bool converts) {
  std::int64_t products = 0;
  for (const LayerUse& use : uses) {
    const ProductPieces pieces(use, converts);
    products = std::max(products, pieces.product + pieces.outputs + pieces.inputs);
  }
  return std::max({threads() * TileScratch<double>::elements(gram_tile(n), converts),
                   MaterializedScratch<double>::elements(n, converts), n + products});
}

/// Exceptions must not leave a parallel loop, so that sizes are checked before.
inline void require_blas_sizes(const RowBatch& rows) {
  constexpr std::int64_t most = std::numeric_limits<int>::max();
  for (const LayerUse& use : rows.blocks) {
    for (const ConstView* view : {&use.input, &use.output_score}) {
      if (view->leading_dimension() * use.terms > most || view->rows() > most) {
        throw ShapeError(detail::message("rows: a factor of ", view->description(),
                                         " is beyond the BLAS's 32-bit interface (", most, ")"));
      }
    }
  }
}

}  // namespace natgrad::cpu
