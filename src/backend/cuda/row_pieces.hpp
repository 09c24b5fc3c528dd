#pragma once

#include "backend/cuda/blas.hpp"
#include "backend/row_blocks.hpp"
#include "kernels/cuda/rows.hpp"
#include "kernels/cuda/vectors.hpp"

#include <algorithm>
#include <cstdint>
#include <span>
#include <type_traits>

// Blocks of rows as the kernels and the BLAS take them, some rows at a time, and how the scratch of
// gram, apply and adjoint is laid out: one place for the sizes and their use. Sizes depend on the
// shapes of the blocks alone, so that they can be planned.

namespace natgrad::cuda {

/// Where the pieces of one call are multiplied, and how.
struct Work {
  kernels::Stream stream;
  const Blas& blas;
  MathMode mode;
};

/// Terms of a block that the Gram multiplies at a time, down and across K.
inline constexpr std::int64_t tile_height = 1024;
inline constexpr std::int64_t tile_width = 4096;
/// Columns of the factors that the Gram converts at a time.
inline constexpr std::int64_t conversion_columns = 512;
/// Columns of the rows that are formed at a time, and numbers where there are many rows.
inline constexpr std::int64_t most_formed_columns = 4096;
inline constexpr std::int64_t least_formed_columns = 64;
inline constexpr std::int64_t formed_numbers = std::int64_t{1} << 23;
/// Numbers of a factor that apply and adjoint take at a time: 64 MiB in float.
inline constexpr std::int64_t product_numbers = std::int64_t{1} << 24;

/// `own` counts from the block's first row.
inline kernels::RowShape shape_of(const LayerUse& block, Range own) {
  return {.rows = own.size(),
          .terms = block.terms,
          .rows_per_input = block.rows_per_input,
          .skipped = own.begin % block.rows_per_input,
          .bias_first_term = block.bias_first_term};
}

/// Rows of D and of A that these rows of a block, which are some, read.
inline Range output_terms(const LayerUse& block, Range own) {
  return {own.begin * block.terms, own.end * block.terms};
}
inline Range input_terms(const LayerUse& block, Range own) {
  return {own.begin / block.rows_per_input * block.terms,
          ((own.end - 1) / block.rows_per_input + 1) * block.terms};
}

/// Some rows and columns of a factor.
template <class Row>
kernels::Matrix<const Row> part_of(const ConstView& factor, Range rows, Range columns) {
  return {factor.as<Row>() + rows.begin * factor.leading_dimension() + columns.begin, rows.size(),
          columns.size(), factor.leading_dimension()};
}
template <class Row>
kernels::Matrix<const Row> part_of(const ConstView& factor, Range rows) {
  return part_of<Row>(factor, rows, {0, factor.columns()});
}

template <class Row>
kernels::RowFactors<Row> factors_of(const LayerUse& block, Range own) {
  kernels::RowFactors<Row> factors{
      .shape = shape_of(block, own),
      .outputs = part_of<Row>(block.output_score, output_terms(block, own)),
      .inputs = {}};
  if (block.weight_offset >= 0) {
    factors.inputs = part_of<Row>(block.input, input_terms(block, own));
  }
  return factors;
}

/// A part of a factor as `Result`, in `buffer` where it must be converted.
template <class Row, class Result>
kernels::Matrix<const Result> converted(kernels::Stream stream, const ConstView& factor, Range rows,
                                        Range columns, Result* buffer) {
  const kernels::Matrix<const Row> part = part_of<Row>(factor, rows, columns);
  if constexpr (std::is_same_v<Row, Result>) {
    return part;
  } else {
    const Shape shape{rows.size(), columns.size()};
    const Device device = factor.device();
    kernels::copy(stream,
                  ConstView(part.data, shape,
                            {.leading_dimension = part.leading_dimension, .device = device}),
                  View(buffer, shape, {.device = device}));
    return {buffer, shape.rows, shape.columns, shape.columns};
  }
}

/// What starts at a multiple of so many numbers is aligned for wide accesses.
inline std::int64_t aligned_numbers(std::int64_t count) { return (count + 15) / 16 * 16; }

/// Buffers of two pieces of blocks in the Gram.
template <class T>
struct TileScratch {
  std::int64_t leading_dimension;  // of the next two
  T* outputs;                      // (height, width)
  T* inputs;                       // the same, where there are weights
  T* left;                         // (height, columns), where types differ
  T* right;                        // (width, columns)
};

struct TileSizes {
  std::int64_t height = 0;
  std::int64_t width = 0;
  std::int64_t columns = 0;
  bool weights = false;

  TileSizes(std::span<const LayerUse> blocks, bool converts) {
    for (const LayerUse& block : blocks) {
      if (block.terms > most_paired_terms) continue;
      const std::int64_t terms = block.rows * block.terms;
      height = std::max(height, std::min(terms, tile_height));
      width = std::max(width, aligned_numbers(std::min(terms, tile_width)));
      weights = weights || block.inputs > 0;
      if (!converts) continue;
      columns = std::max({columns, std::min(block.inputs, conversion_columns),
                          std::min(block.outputs, conversion_columns)});
    }
  }

  std::int64_t product() const { return height * width; }
  std::int64_t left() const { return aligned_numbers(height * columns); }
  std::int64_t numbers() const { return (weights ? 2 : 1) * product() + left() + width * columns; }

  template <class T>
  TileScratch<T> in(void* memory) const {
    T* const outputs = static_cast<T*>(memory);
    T* const inputs = outputs + product();
    T* const left_part = weights ? inputs + product() : inputs;
    return {.leading_dimension = width,
            .outputs = outputs,
            .inputs = inputs,
            .left = left_part,
            .right = left_part + left()};
  }
};

/// Columns of N rows that are formed at a time.
inline std::int64_t formed_columns(std::int64_t n) {
  return std::clamp(formed_numbers / std::max<std::int64_t>(1, n), least_formed_columns,
                    most_formed_columns);
}

/// Room for so many columns of N formed rows. No less than what fewer rows take, whose columns are
/// not a whole part of `formed_numbers` either.
inline std::int64_t formed_numbers_of(std::int64_t n, std::int64_t columns) {
  return std::min(n * std::min(columns, most_formed_columns),
                  std::max(formed_numbers, n * least_formed_columns));
}

/// How apply and adjoint go through a block with a weight: so many of its rows at once, a multiple
/// of the rows of an input.
struct ProductPieces {
  std::int64_t rows;
  std::int64_t product;  // numbers of A V^T or E
  std::int64_t inputs;   // of converted A

  ProductPieces(const LayerUse& block, bool converts) {
    const std::int64_t width = converts ? std::max(block.inputs, block.outputs) : block.outputs;
    const std::int64_t numbers = std::max<std::int64_t>(1, block.terms * width);
    const std::int64_t groups = std::max<std::int64_t>(1, product_numbers / numbers);
    rows = std::min(block.rows, groups * block.rows_per_input);
    const std::int64_t terms = rows / block.rows_per_input * block.terms;
    product = aligned_numbers(terms * block.outputs);
    inputs = converts ? terms * block.inputs : 0;
  }
};

/// Calls body(own), own the next rows of a block.
template <class Body>
void for_each_piece(const LayerUse& block, std::int64_t rows, const Body& body) {
  for (std::int64_t first = 0; first < block.rows; first += rows) {
    body(Range{first, std::min(first + rows, block.rows)});
  }
}

/// In numbers of the result's type.
inline std::int64_t rows_scratch(std::span<const LayerUse> blocks, std::int64_t n, bool converts) {
  std::int64_t numbers = TileSizes(blocks, converts).numbers();
  for (const LayerUse& block : blocks) {
    const std::int64_t columns = std::max(block.inputs * block.outputs, block.outputs);
    numbers = std::max(numbers, formed_numbers_of(n, columns));
    if (block.inputs == 0) continue;
    const ProductPieces pieces(block, converts);
    numbers = std::max(numbers, pieces.product + pieces.inputs);
  }
  return numbers;
}

}  // namespace natgrad::cuda
