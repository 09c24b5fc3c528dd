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
// Sizes depend on the shapes of the blocks alone, so that they can be planned.

namespace natgrad::cpu {

/// Columns of a factor that the Gram's tiles convert at a time.
inline constexpr std::int64_t conversion_columns = 256;
/// Columns of the rows that are formed at a time.
inline constexpr std::int64_t formed_columns = 512;
/// Terms of a row that are converted at a time where rows are formed.
inline constexpr std::int64_t formed_terms = 256;
/// Numbers of a factor that apply and adjoint take at a time: 16 MiB in float.
inline constexpr std::int64_t product_numbers = std::int64_t{1} << 22;

inline constexpr std::int64_t largest_gram_tile = 192;

/// Rows and columns of a tile of K: three of them fit a core's second-level cache in float, and
/// there are enough to share among the threads. (On two Zen 3 cores 192 is within 5 % of the best
/// size for 1024 and 4096 rows, 64 the best for 256.) At least `most_paired_terms`.
inline std::int64_t gram_tile(std::int64_t n) {
  constexpr std::int64_t tiles_a_thread = 4;
  for (std::int64_t tile : {largest_gram_tile, std::int64_t{128}, std::int64_t{96}}) {
    const std::int64_t side = (n + tile - 1) / tile;
    if (side * (side + 1) / 2 >= tiles_a_thread * threads()) return tile;
  }
  return most_paired_terms;
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

/// Buffers of rows that are formed.
template <class T>
struct FormedScratch {
  T* rows;         // (N, formed columns)
  T* conversions;  // a thread: (formed terms, formed columns + 1)

  FormedScratch(void* memory, std::int64_t n)
      : rows(static_cast<T*>(memory)), conversions(rows + n * formed_columns) {}

  T* conversion(int thread) const { return conversions + thread * conversion_numbers; }

  static constexpr std::int64_t conversion_numbers = formed_terms * (formed_columns + 1);
  static std::int64_t elements(std::int64_t n, bool converts) {
    return n * formed_columns + (converts ? threads() * conversion_numbers : 0);
  }
};

/// How apply and adjoint go through one block: so many of its rows at once, a multiple of the rows
/// of an input.
struct ProductPieces {
  std::int64_t rows;
  std::int64_t product;  // numbers of each buffer
  std::int64_t outputs;
  std::int64_t inputs;

  ProductPieces(const LayerUse& block, bool converts) {
    const std::int64_t width = std::max(block.inputs, block.outputs);
    const std::int64_t group = block.rows_per_input;
    const std::int64_t numbers = std::max<std::int64_t>(1, group * block.terms * width);
    const std::int64_t groups = std::max<std::int64_t>(1, product_numbers / numbers);
    rows = std::min(block.rows, groups * group);
    product = rows * block.terms * (block.inputs > 0 ? block.outputs : 1);
    outputs = converts ? rows * block.terms * block.outputs : 0;
    inputs = converts ? rows / group * block.terms * block.inputs : 0;
  }
};

/// Buffers of apply and adjoint for one block.
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

inline std::int64_t rows_scratch(std::span<const LayerUse> blocks, std::int64_t n, bool converts) {
  std::int64_t products = 0;
  for (const LayerUse& block : blocks) {
    const ProductPieces pieces(block, converts);
    products = std::max(products, pieces.product + pieces.outputs + pieces.inputs);
  }
  return std::max({threads() * TileScratch<double>::elements(gram_tile(n), converts),
                   FormedScratch<double>::elements(n, converts), n + products});
}

/// Exceptions must not leave a parallel loop, so that sizes are checked before.
inline void require_blas_sizes(const RowBatch& rows) {
  constexpr std::int64_t most = std::numeric_limits<int>::max();
  for (const LayerUse& block : rows.blocks) {
    for (const ConstView* view : {&block.input, &block.output_score}) {
      if (view->leading_dimension() * block.terms > most || view->rows() > most) {
        throw ShapeError(detail::message("rows: a factor of ", view->description(),
                                         " is beyond the BLAS's 32-bit interface (", most, ")"));
      }
    }
  }
}

}  // namespace natgrad::cpu
