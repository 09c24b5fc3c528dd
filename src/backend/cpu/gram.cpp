// The loops of K = S S^T on the CPU; backend/row_gram.hpp says what is computed.

#include "backend/cpu/blas.hpp"
#include "backend/cpu/cpu_backend.hpp"
#include "backend/cpu/row_factors.hpp"
#include "backend/cpu/row_scratch.hpp"
#include "backend/row_gram.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

namespace natgrad {

using cpu::at;
using cpu::factor;

namespace {

template <class T>
NATGRAD_MULTIVERSION void multiply_add(const T* a, T bias, const T* d, T* sum, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) sum[i] += (a[i] + bias) * d[i];
}

/// Numbers of scale 0 become 0, whatever they are.
template <class T>
NATGRAD_MULTIVERSION void scale_run(double row_scale, const double* scale, const T* from, T* to,
                                    std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) {
    const double number = static_cast<double>(from[i]) * (row_scale * scale[i]);
    to[i] = static_cast<T>(row_scale == 0 || scale[i] == 0 ? 0 : number);
  }
}

// Pairwise uses.

/// Some rows of a pairwise use, counted from its own first.
struct PairPiece {
  const LayerUse& use;
  Range own;

  std::int64_t count() const { return own.size(); }
  Range terms() const { return output_terms(use, own); }
  Range inputs() const { return input_terms(use, own); }
  /// Which of the inputs row n of the piece reads.
  std::int64_t input(std::int64_t n) const {
    return (own.begin + n) / use.rows_per_input - own.begin / use.rows_per_input;
  }
  bool plain() const { return use.terms == 1 && use.rows_per_input == 1; }
};

/// to (left rows, right rows) = left right^T, summed over all columns, some of which are converted
/// at a time.
template <class Row, class Result>
void multiply(const ConstView& left, Range left_rows, const ConstView& right, Range right_rows,
              const cpu::TileScratch<Result>& scratch, Result* to) {
  constexpr bool converts = !std::is_same_v<Row, Result>;
  const std::int64_t step = converts ? cpu::conversion_columns : left.columns();
  for (std::int64_t column = 0; column < left.columns(); column += step) {
    const std::int64_t columns = std::min(step, left.columns() - column);
    const auto a =
        factor<Row, Result>(left, left_rows.begin, left_rows.size(), column, columns, scratch.left);
    const auto b = factor<Row, Result>(right, right_rows.begin, right_rows.size(), column, columns,
                                       scratch.right);
    blas::gemm<Result>(Transpose::no, Transpose::yes, left_rows.size(), right_rows.size(), columns,
                       1, a.data, a.leading_dimension, b.data, b.leading_dimension,
                       column == 0 ? Result{0} : Result{1}, to, right_rows.size());
  }
}

/// Products of one term (n, t) with all terms of the right piece.
template <class T>
struct TermProducts {
  const T* inputs;   // A_nt . A_ms by input and term; null where no weight is shared
  const T* outputs;  // D_nt . D_ms by row and term
  bool bias;         // (n, t) carries a bias that the right piece's terms share
};

/// by_term_ms += (A_nt . A_ms + bias) (D_nt . D_ms) for every row m and term s of the right piece.
template <class T>
void add_term(const PairPiece& right, const TermProducts<T>& products, T* by_term) {
  const std::int64_t terms = right.use.terms;
  const std::int64_t count = right.count() * terms;
  const bool every = products.bias && !right.use.bias_first_term;
  const T* inputs = products.inputs;
  std::array<T, cpu::largest_gram_tile> repeated;  // NOLINT(cppcoreguidelines-pro-type-member-init)
  if (inputs != nullptr && right.use.rows_per_input > 1) {
    for (std::int64_t m = 0; m < right.count(); ++m) {
      std::copy_n(inputs + right.input(m) * terms, terms, repeated.data() + m * terms);
    }
    inputs = repeated.data();
  }
  if (inputs != nullptr) {
    multiply_add(inputs, every ? T{1} : T{0}, products.outputs, by_term, count);
  } else if (every) {
    cpu::add_scaled(T{1}, products.outputs, by_term, count);
  }
  if (products.bias && right.use.bias_first_term) {
    for (std::int64_t i = 0; i < count; i += terms) by_term[i] += products.outputs[i];
  }
}

/// Adds the products of two pieces to `sum`, rows `stride` apart.
template <class Row, class Result>
void add_pieces(const PairPiece& left, const PairPiece& right,
                const cpu::TileScratch<Result>& scratch, Result* sum, std::int64_t stride) {
  const bool weight = share_weight(left.use, right.use);
  const bool bias = share_bias(left.use, right.use);
  multiply<Row, Result>(left.use.output_score, left.terms(), right.use.output_score, right.terms(),
                        scratch, scratch.outputs);
  if (weight) {
    multiply<Row, Result>(left.use.input, left.inputs(), right.use.input, right.inputs(), scratch,
                          scratch.inputs);
  }
  if (weight && left.plain() && right.plain()) {
    for (std::int64_t n = 0; n < left.count(); ++n) {
      multiply_add(scratch.inputs + n * right.count(), bias ? Result{1} : Result{0},
                   scratch.outputs + n * right.count(), sum + n * stride, right.count());
    }
    return;
  }
  const std::int64_t terms = left.use.terms;
  const std::int64_t right_terms = right.use.terms;
  std::array<Result, cpu::largest_gram_tile> by_term;  // NOLINT(*-member-init)
  for (std::int64_t n = 0; n < left.count(); ++n) {
    std::fill_n(by_term.data(), right.terms().size(), Result{0});
    for (std::int64_t t = 0; t < terms; ++t) {
      const std::int64_t input = left.input(n) * terms + t;
      add_term<Result>(right,
                       {.inputs = weight ? scratch.inputs + input * right.inputs().size() : nullptr,
                        .outputs = scratch.outputs + (n * terms + t) * right.terms().size(),
                        .bias = bias && (t == 0 || !left.use.bias_first_term)},
                       by_term.data());
    }
    for (std::int64_t m = 0; m < right.count(); ++m) {
      Result total = 0;
      for (std::int64_t s = 0; s < right_terms; ++s) total += by_term[m * right_terms + s];
      sum[n * stride + m] += total;
    }
  }
}

/// Adds what two uses have in rows x columns of K to `sum`, in pieces of at most `most` terms a
/// side.
template <class Row, class Result>
void add_pair(const LayerUse& left, const LayerUse& right, Range rows, Range columns,
              std::int64_t most, const cpu::TileScratch<Result>& scratch, Result* sum,
              std::int64_t stride) {
  for_each_piece(common(rows, range_of(left)), most / left.terms, [&](Range down) {
    for_each_piece(common(columns, range_of(right)), most / right.terms, [&](Range across) {
      add_pieces<Row, Result>(
          {left, within(left, down)}, {right, within(right, across)}, scratch,
          sum + (down.begin - rows.begin) * stride + (across.begin - columns.begin), stride);
    });
  });
}

// Lookups.

template <class Row, class Result>
NATGRAD_MULTIVERSION Result dot_converted(const Row* x, const Row* y, std::int64_t count) {
  Result sum = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    sum += static_cast<Result>(x[i]) * static_cast<Result>(y[i]);
  }
  return sum;
}

/// Whether one of these is the index.
NATGRAD_MULTIVERSION bool has_index(const std::int32_t* indices, std::int64_t stride,
                                    std::int64_t count, std::int32_t index) {
  int found = 0;
  if (stride == 1) {
    for (std::int64_t i = 0; i < count; ++i) found |= indices[i] == index ? 1 : 0;
  } else {
    for (std::int64_t i = 0; i < count; ++i) found |= indices[i * stride] == index ? 1 : 0;
  }
  return found != 0;
}

/// D_nt . D_ms summed over the terms of both rows, counted from their uses' first, that read one
/// row of the weight; NaN where the left one has an index that is none.
template <class Row, class Result>
Result lookup_products(const LayerUse& left, std::int64_t n, const LayerUse& right,
                       std::int64_t m) {
  const std::int64_t stride = right.input.leading_dimension();
  const auto* indices = at<std::int32_t>(right.input, m / right.rows_per_input * right.terms, 0);
  Result sum = 0;
  for (std::int64_t t = 0; t < left.terms; ++t) {
    const std::int64_t word = cpu::word_of(left, n / left.rows_per_input * left.terms + t);
    if (word < 0) return std::numeric_limits<Result>::quiet_NaN();
    if (!has_index(indices, stride, right.terms, static_cast<std::int32_t>(word))) continue;
    const Row* d = at<Row>(left.output_score, n * left.terms + t, 0);
    for (std::int64_t s = 0; s < right.terms; ++s) {
      if (indices[s * stride] != word) continue;
      sum += dot_converted<Row, Result>(d, at<Row>(right.output_score, m * right.terms + s, 0),
                                        left.outputs);
    }
  }
  return sum;
}

/// Adds what two lookups of one weight have in rows x columns of K, up to its diagonal, to `sum`.
template <class Row, class Result>
void add_lookups(const LayerUse& left, const LayerUse& right, Range rows, Range columns,
                 Result* sum, std::int64_t stride) {
  const Range down = common(rows, range_of(left));
  for (std::int64_t n = down.begin; n < down.end; ++n) {
    const Range across = common({columns.begin, std::min(columns.end, n + 1)}, range_of(right));
    for (std::int64_t m = across.begin; m < across.end; ++m) {
      sum[(n - rows.begin) * stride + (m - columns.begin)] +=
          lookup_products<Row, Result>(left, n - left.first, right, m - right.first);
    }
  }
}

/// K of the pairwise uses, added to what K holds with `adds`, and the rows' scale. Each tile passes
/// through all uses while it is in cache, on one thread: within an OpenMP loop the BLAS runs on the
/// calling thread.
template <class Row, class Result>
void gram_by_tiles(const RowBatch& rows, bool adds, const View& K, const Scratch& scratch) {
  const std::int64_t n = rows.rows();
  const std::int64_t size = cpu::gram_tile(n);
  const std::int64_t side = (n + size - 1) / size;
  const double* scale = rows.scale.as<double>();
#pragma omp parallel if (side > 1)
  {
    const cpu::TileScratch<Result> own(scratch.data, cpu::thread_index(), size,
                                       !std::is_same_v<Row, Result>);
#pragma omp for schedule(dynamic)
    for (std::int64_t index = 0; index < side * (side + 1) / 2; ++index) {
      const auto i =
          static_cast<std::int64_t>((std::sqrt(8.0 * static_cast<double>(index) + 1) - 1) / 2);
      const std::int64_t j = index - i * (i + 1) / 2;
      const Range down{i * size, std::min(n, (i + 1) * size)};
      const Range across{j * size, std::min(n, (j + 1) * size)};
      const std::int64_t width = across.size();
      std::fill_n(own.sum, down.size() * width, Result{0});
      for_each_pair(rows, [&](const LayerUse& left, const LayerUse& right) {
        if (left.lookup) {
          return add_lookups<Row, Result>(left, right, down, across, own.sum, width);
        }
        add_pair<Row, Result>(left, right, down, across, size, own, own.sum, width);
      });
      for (std::int64_t row = down.begin; row < down.end; ++row) {
        Result* sum = own.sum + (row - down.begin) * width;
        Result* k = at<Result>(K, row, across.begin);
        // Of a tile on the diagonal only the lower triangle is K's.
        const std::int64_t count = std::min(width, row - across.begin + 1);
        if (adds) cpu::add_scaled(Result{1}, k, sum, count);
        scale_run(scale[row], scale + across.begin, sum, k, count);
      }
    }
  }
}

// Materialized uses.

/// row += these columns of row n of S, n counted from the use's first.
template <class Row, class Result>
void materialize_row(const LayerUse& use, const MaterializedColumns& columns, std::int64_t n,
                     Result* buffer, Result* row) {
  const std::int64_t terms = use.terms;
  const std::int64_t outputs = columns.outputs.size();
  const std::int64_t inputs = columns.inputs.size();
  if (columns.bias) {
    const std::int64_t carrying = use.bias_first_term ? 1 : terms;
    for (std::int64_t t = 0; t < carrying; ++t) {
      cpu::add_scaled(Result{1}, at<Row>(use.output_score, n * terms + t, columns.outputs.begin),
                      row, outputs);
    }
    return;
  }
  const std::int64_t input = n / use.rows_per_input * terms;
  if (use.lookup) {
    for (std::int64_t t = 0; t < terms; ++t) {
      const std::int64_t word = cpu::word_of(use, input + t);
      const std::int64_t to = std::max<std::int64_t>(0, word);
      if (to < columns.outputs.begin || to >= columns.outputs.end) continue;
      cpu::add_scaled(word < 0 ? std::numeric_limits<Result>::quiet_NaN() : Result{1},
                      at<Row>(use.output_score, n * terms + t, columns.inputs.begin),
                      row + (to - columns.outputs.begin) * inputs, inputs);
    }
    return;
  }
  if (terms == 1) {
    const Row* d = at<Row>(use.output_score, n, columns.outputs.begin);
    const Row* a = at<Row>(use.input, input, columns.inputs.begin);
    for (std::int64_t o = 0; o < outputs; ++o) {
      cpu::add_scaled(static_cast<Result>(d[o]), a, row + o * inputs, inputs);
    }
    return;
  }
  for (std::int64_t first = 0; first < terms; first += cpu::materialized_terms) {
    const std::int64_t count = std::min(cpu::materialized_terms, terms - first);
    const auto d = factor<Row, Result>(use.output_score, n * terms + first, count,
                                       columns.outputs.begin, outputs, buffer);
    const auto a = factor<Row, Result>(use.input, input + first, count, columns.inputs.begin,
                                       inputs, buffer + count * outputs);
    blas::gemm<Result>(Transpose::yes, Transpose::no, outputs, inputs, count, 1, d.data,
                       d.leading_dimension, a.data, a.leading_dimension, 1, row, inputs);
  }
}

/// K += R R^T, R the rows of these columns.
template <class Row, class Result>
void add_columns(const RowBatch& rows, const MaterializedColumns& columns, const View& K,
                 const cpu::MaterializedScratch<Result>& scratch) {
  const Range hull = columns.rows;
  const std::int64_t count = columns.count();
  cpu::parallel_blocks(
      hull.size(), cpu::row_grain(count), [&](std::int64_t begin, std::int64_t end) {
        Result* buffer = scratch.conversion(cpu::thread_index());
        std::fill_n(scratch.rows + begin * count, (end - begin) * count, Result{0});
        for (const LayerUse& use : rows.blocks) {
          if (!columns.used_by(use)) continue;
          const Range own = common({hull.begin + begin, hull.begin + end}, range_of(use));
          for (std::int64_t n = own.begin; n < own.end; ++n) {
            materialize_row<Row, Result>(use, columns, n - use.first, buffer,
                                         scratch.rows + (n - hull.begin) * count);
          }
        }
      });
  blas::syrk<Result>(Triangle::lower, Transpose::no, hull.size(), count, 1, scratch.rows, count, 1,
                     at<Result>(K, hull.begin, hull.begin), K.leading_dimension());
}

template <class Row, class Result>
void add_materialized(const RowBatch& rows, const View& K, const Scratch& memory) {
  const cpu::MaterializedScratch<Result> scratch(memory.data, rows.rows());
  for_each_materialized(
      rows, cpu::materialized_columns, !std::is_same_v<Row, Result>,
      [&](const MaterializedColumns& columns) {
        add_columns<Row, Result>(rows, columns, K, scratch);
      },
      [&](const LayerUse& use) {
        const ConstView& d = use.output_score;
        blas::syrk<Result>(Triangle::lower, Transpose::no, use.rows, use.outputs, 1, d.as<Result>(),
                           d.leading_dimension() * use.terms, 1,
                           at<Result>(K, use.first, use.first), K.leading_dimension());
      });
}

template <class Result>
void scale_lower(const RowBatch& rows, const View& K) {
  const double* scale = rows.scale.as<double>();
  const std::int64_t n = rows.rows();
  cpu::parallel_blocks(n, cpu::row_grain(n), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      Result* row = at<Result>(K, i, 0);
      scale_run(scale[i], scale, row, row, i + 1);
    }
  });
}

template <class Result>
void clear_lower(const View& K) {
  const std::int64_t n = K.rows();
  cpu::parallel_blocks(n, cpu::row_grain(n), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) std::fill_n(at<Result>(K, i, 0), i + 1, Result{0});
  });
}

}  // namespace

void CpuBackend::gram(const RowBatch& rows, const View& K, Scratch scratch) {
  cpu::require_blas_sizes(rows);
  const bool materialized = any_materialized(rows);
  const ElementType type = K.type();
  with_row_types(rows, type, [&]<class Row, class Result>(Row, Result) {
    if (materialized) {
      clear_lower<Result>(K);
      add_materialized<Row, Result>(rows, K, scratch);
      if (!any_pairwise(rows)) return scale_lower<Result>(rows, K);
    }
    gram_by_tiles<Row, Result>(rows, materialized, K, scratch);
  });
}

}  // namespace natgrad
