#pragma once

#include "backend/cuda/blas.hpp"
#include "backend/cuda/gram_rule.hpp"
#include "backend/row_uses.hpp"
#include "kernels/cuda/arrays.hpp"
#include "kernels/cuda/lookups.hpp"
#include "kernels/cuda/row_products.hpp"
#include "kernels/cuda/rows.hpp"
#include "kernels/cuda/split.hpp"

#include <algorithm>
#include <cstdint>
#include <span>
#include <type_traits>

// Uses of layers as the kernels and cuBLAS take them, some rows at a time, and how the scratch of
// gram, apply and adjoint is laid out: one place for the sizes and their use. Sizes depend on the
// shapes of the uses alone, so that they can be planned.

namespace natgrad::cuda {

/// Where the products of one call are enqueued, and their arithmetic.
struct Work {
  kernels::Stream stream;
  const Blas& blas;
  MathMode mode;
};

/// Columns of the factors that the Gram converts at a time.
inline constexpr std::int64_t conversion_columns = 512;
/// Columns of the rows that the Gram materializes at a time, and numbers where there are many rows.
inline constexpr std::int64_t most_materialized_columns = 4096;
inline constexpr std::int64_t least_materialized_columns = 64;
inline constexpr std::int64_t materialized_numbers = std::int64_t{1} << 23;
/// Numbers of a factor that apply and adjoint take at a time: 64 MiB in float.
inline constexpr std::int64_t product_numbers = std::int64_t{1} << 24;
/// Numbers of A that adjoint copies at a time where no type differs: they stay in cache.
inline constexpr std::int64_t copied_numbers = std::int64_t{1} << 20;

/// `own` counts from the first row of the use.
inline kernels::TermLayout layout_of(const LayerUse& use, Range own) {
  return {.rows = own.size(),
          .terms = use.terms,
          .rows_per_input = use.rows_per_input,
          .skipped = own.begin % use.rows_per_input,
          .bias_first_term = use.bias_first_term};
}

/// Whether each row of a use has one row of D and one of A, so that of products of the outputs and
/// of the inputs the same is needed.
inline bool has_one_term(const kernels::TermLayout& layout) {
  return layout.terms == 1 && layout.rows_per_input == 1;
}

/// Some rows and columns of a factor.
template <class Row>
kernels::Matrix<const Row> factor_part(const ConstView& factor, Range rows, Range columns) {
  return {factor.as<Row>() + rows.begin * factor.leading_dimension() + columns.begin, rows.size(),
          columns.size(), factor.leading_dimension()};
}
template <class Row>
kernels::Matrix<const Row> factor_part(const ConstView& factor, Range rows) {
  return factor_part<Row>(factor, rows, {0, factor.columns()});
}

template <class Row>
kernels::KhatriRaoFactors<Row> factors_of(const LayerUse& use, Range own) {
  kernels::KhatriRaoFactors<Row> factors{
      .layout = layout_of(use, own),
      .outputs = factor_part<Row>(use.output_score, output_terms(use, own)),
      .inputs = {}};
  if (use.weight_offset >= 0 && !use.lookup) {
    factors.inputs = factor_part<Row>(use.input, input_terms(use, own));
  }
  return factors;
}

template <class Row>
kernels::LookupFactors<Row> lookup_of(const LayerUse& use, Range own) {
  const std::int64_t stride = use.input.leading_dimension();
  return {.layout = layout_of(use, own),
          .indices = use.input.as<std::int32_t>() + input_terms(use, own).begin * stride,
          .stride = stride,
          .words = use.inputs,
          .outputs = factor_part<Row>(use.output_score, output_terms(use, own))};
}

/// A part of a factor as `Result`, in `buffer` where it must be converted.
template <class Row, class Result>
kernels::Matrix<const Result> converted(kernels::Stream stream, const ConstView& factor, Range rows,
                                        Range columns, Result* buffer) {
  const kernels::Matrix<const Row> part = factor_part<Row>(factor, rows, columns);
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

/// Where a product of factors goes, and for floats on tensor cores its split factors.
template <class T>
struct ProductScratch {
  T* numbers;                  // (height, width)
  std::int32_t* powers;        // of the right factor's rows, then of the left one's
  kernels::Half* split_left;   // (height, 5 split)
  kernels::Half* split_right;  // (width, 5 split)
};

/// Buffers of two pieces of uses in the Gram.
template <class T>
struct TileScratch {
  std::int64_t leading_dimension;  // of the next two
  ProductScratch<T> outputs;
  ProductScratch<T> inputs;  // where there are weights
  T* left;                   // (height, columns), where types differ
  T* right;                  // (width, columns)
  void** addresses;          // those of two factors of each piece and block, and of each product
};

/// How much of each a Gram takes. `rule` is for the type of results.
struct TileSizes {
  std::int64_t height = 0;
  std::int64_t width = 0;
  std::int64_t columns = 0;
  std::int64_t split = 0;   // columns at a time
  std::int64_t pieces = 0;  // of them
  std::int64_t blocks = 0;
  bool weights = false;
  bool at_once = false;       // split products of outputs and of inputs may be computed at once
  bool materialized = false;  // columns may be multiplied by tiles, too

  TileSizes(std::span<const LayerUse> uses, std::int64_t n, bool converts, const GramRule& rule) {
    for (const LayerUse& use : uses) {
      if (use.terms <= most_pairwise_terms && !use.lookup) {
        take_rows(use.rows * use.terms, rule);
        weights = weights || use.inputs > 0;
        if (converts) {
          columns = std::max({columns, std::min(use.inputs, conversion_columns),
                              std::min(use.outputs, conversion_columns)});
        }
      }
      materialized = materialized || rule.takes(n, n, materialized_width(use));
    }
    if (materialized) take_rows(n, rule);
    for (const LayerUse& use : uses) {
      if (!use.lookup) take_columns(std::max(use.inputs, use.outputs), rule);
      if (materialized) take_columns(materialized_width(use), rule);
      at_once = at_once || (!use.lookup && has_one_term(layout_of(use, {0, use.rows})) &&
                            rule.takes(height, width, std::min(use.inputs, use.outputs)));
    }
  }

  /// Columns of S that belong to the larger parameter of a use.
  static std::int64_t materialized_width(const LayerUse& use) {
    return std::max(use.inputs * use.outputs, use.outputs);
  }

  std::int64_t product() const { return height * width; }
  std::int64_t left() const { return aligned_numbers(height * columns); }
  std::int64_t numbers() const {
    return (weights ? 2 : 1) * (product() + powers()) + left() + width * columns +
           (at_once ? 2 : 1) * (split_numbers(height) + split_numbers(width) + address_numbers());
  }

  template <class T>
  TileScratch<T> in(void* memory) const {
    T* next = static_cast<T*>(memory);
    const auto take = [&next](std::int64_t count) {
      T* const taken = next;
      next += count;
      return taken;
    };
    const auto take_halves = [&](std::int64_t rows) {
      return reinterpret_cast<kernels::Half*>(take(split_numbers(rows)));
    };
    const auto take_powers = [&] { return reinterpret_cast<std::int32_t*>(take(powers())); };
    TileScratch<T> scratch{};
    scratch.leading_dimension = width;
    scratch.outputs = {.numbers = take(product()),
                       .powers = take_powers(),
                       .split_left = take_halves(height),
                       .split_right = take_halves(width)};
    scratch.inputs = scratch.outputs;
    if (weights) {
      scratch.inputs.numbers = take(product());
      scratch.inputs.powers = take_powers();
    }
    if (at_once) {
      scratch.inputs.split_left = take_halves(height);
      scratch.inputs.split_right = take_halves(width);
    }
    scratch.left = take(left());
    scratch.right = take(width * columns);
    scratch.addresses = reinterpret_cast<void**>(take((at_once ? 2 : 1) * address_numbers()));
    return scratch;
  }

 private:
  void take_rows(std::int64_t terms, const GramRule& rule) {
    height = std::max(height, std::min(terms, rule.tile_height));
    width = std::max(width, aligned_numbers(std::min(terms, rule.tile_width)));
  }

  void take_columns(std::int64_t count, const GramRule& rule) {
    if (!rule.takes(height, width, count)) return;
    split = std::max(split, rule.most_split_columns(count));
    pieces = std::max(pieces, rule.pieces_at_a_time(count));
    blocks = (height / rule.block) * (width / rule.block);
  }

  // In floats: nothing is split for results of double.
  std::int64_t powers() const { return split == 0 ? 0 : aligned_numbers(height + width); }
  std::int64_t split_numbers(std::int64_t rows) const {
    return aligned_numbers(rows * 5 * split / 2);
  }
  std::int64_t address_numbers() const { return aligned_numbers(2 * (2 * pieces + 1) * blocks); }
};

/// Columns of N rows that are materialized at a time.
inline std::int64_t materialized_columns(std::int64_t n) {
  return std::clamp(materialized_numbers / std::max<std::int64_t>(1, n), least_materialized_columns,
                    most_materialized_columns);
}

/// Room for so many columns of N rows. No less than what fewer rows take, whose columns are not a
/// whole part of `materialized_numbers` either.
inline std::int64_t room_for_columns(std::int64_t n, std::int64_t columns) {
  return std::min(n * std::min(columns, most_materialized_columns),
                  std::max(materialized_numbers, n * least_materialized_columns));
}

/// How apply and adjoint go through a use with a weight: so many of its rows at once, a multiple of
/// the rows of an input. Without one, all rows at once and nothing but partial sums.
struct ProductPieces {
  std::int64_t rows;
  std::int64_t product;   // numbers of A V^T or E
  std::int64_t copied;    // rows of A that adjoint copies at a time, where it must
  std::int64_t inputs;    // numbers of A that are converted or copied at a time
  std::int64_t partials;  // of the bias in adjoint

  ProductPieces(const LayerUse& use, bool converts) {
    const std::int64_t width =
        converts && !use.lookup ? std::max(use.inputs, use.outputs) : use.outputs;
    const std::int64_t numbers = std::max<std::int64_t>(1, use.terms * width);
    const std::int64_t groups = std::max<std::int64_t>(1, product_numbers / numbers);
    rows = std::min(use.rows, groups * use.rows_per_input);
    const std::int64_t terms = rows / use.rows_per_input * use.terms;
    product = use.inputs > 0 ? aligned_numbers(terms * use.outputs) : 0;
    copied = converts || use.inputs == 0 || use.lookup
                 ? terms
                 : std::min(terms, std::max<std::int64_t>(1, copied_numbers / use.inputs));
    // Of a lookup the integers of `kernels::scatter`.
    inputs = use.lookup ? aligned_numbers(kernels::scatter_integers(terms)) : copied * use.inputs;
    partials = kernels::bias_partials(use.rows * use.terms, use.outputs);
  }
  std::int64_t numbers() const { return product + inputs + partials; }
};

/// Room for the columns of N rows of each use.
inline std::int64_t room_for_materialized(std::span<const LayerUse> uses, std::int64_t n) {
  std::int64_t numbers = 0;
  for (const LayerUse& use : uses) {
    numbers = std::max(numbers, room_for_columns(n, TileSizes::materialized_width(use)));
  }
  return aligned_numbers(numbers);
}

/// In numbers of the result's type, which `rule` is for.
inline std::int64_t rows_scratch(std::span<const LayerUse> uses, std::int64_t n, bool converts,
                                 const GramRule& rule) {
  const TileSizes tiles(uses, n, converts, rule);
  const std::int64_t materialized = room_for_materialized(uses, n);
  std::int64_t numbers =
      tiles.materialized ? materialized + tiles.numbers() : std::max(materialized, tiles.numbers());
  for (const LayerUse& use : uses) {
    numbers = std::max(numbers, ProductPieces(use, converts).numbers());
  }
  return numbers;
}

}  // namespace natgrad::cuda
