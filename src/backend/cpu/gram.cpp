// K = S S^T of rows that are sums of outer products. Blocks are either formed, some columns of
// their part of S at a time, or paired: the products of the factors of every two rows, of which
//
//   K_nm += sum_ts (A_nt . A_ms + bias) (D_nt . D_ms)
//
// over all pairs of blocks that share a parameter, a block and itself among them.

#include "backend/cpu/blas.hpp"
#include "backend/cpu/cpu_backend.hpp"
#include "backend/cpu/row_factors.hpp"
#include "backend/cpu/row_scratch.hpp"

#include <algorithm>
#include <array>
#include <cmath>

namespace natgrad {

using cpu::at;
using cpu::factor;

namespace {

template <class T>
NATGRAD_MULTIVERSION void multiply_add(const T* a, T bias, const T* d, T* sum, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) sum[i] += (a[i] + bias) * d[i];
}

template <class T>
NATGRAD_MULTIVERSION void scale_run(double row_scale, const double* scale, const T* from, T* to,
                                    std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) {
    to[i] = static_cast<T>(static_cast<double>(from[i]) * (row_scale * scale[i]));
  }
}

// Paired blocks.

/// Some rows of a block, counted from its own first.
struct Piece {
  const LayerUse& block;
  std::int64_t first;
  std::int64_t count;

  std::int64_t first_input() const { return first / block.rows_per_input; }
  std::int64_t inputs() const {
    return (first + count - 1) / block.rows_per_input - first_input() + 1;
  }
  bool plain() const { return block.terms == 1 && block.rows_per_input == 1; }
};

/// to (left rows, right rows) = left right^T over all columns, as many as are converted at a time.
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
void add_term(const Piece& right, const TermProducts<T>& products, T* by_term) {
  const std::int64_t terms = right.block.terms;
  const std::int64_t count = right.count * terms;
  const bool every = products.bias && !right.block.bias_first_term;
  const T* inputs = products.inputs;
  std::array<T, cpu::largest_gram_tile> repeated;  // NOLINT(cppcoreguidelines-pro-type-member-init)
  if (inputs != nullptr && right.block.rows_per_input > 1) {
    for (std::int64_t m = 0; m < right.count; ++m) {
      const std::int64_t input =
          (right.first + m) / right.block.rows_per_input - right.first_input();
      std::copy_n(inputs + input * terms, terms, repeated.data() + m * terms);
    }
    inputs = repeated.data();
  }
  if (inputs != nullptr) {
    multiply_add(inputs, every ? T{1} : T{0}, products.outputs, by_term, count);
  } else if (every) {
    cpu::add_scaled(T{1}, products.outputs, by_term, count);
  }
  if (products.bias && right.block.bias_first_term) {
    for (std::int64_t i = 0; i < count; i += terms) by_term[i] += products.outputs[i];
  }
}

/// Adds the products of two pieces to `sum`, rows `stride` apart.
template <class Row, class Result>
void add_pieces(const Piece& left, const Piece& right, const cpu::TileScratch<Result>& scratch,
                Result* sum, std::int64_t stride) {
  const bool weight = share_weight(left.block, right.block);
  const bool bias = share_bias(left.block, right.block);
  const auto terms_of = [](const Piece& piece) {
    return Range{piece.first * piece.block.terms, (piece.first + piece.count) * piece.block.terms};
  };
  const auto inputs_of = [](const Piece& piece) {
    return Range{piece.first_input() * piece.block.terms,
                 (piece.first_input() + piece.inputs()) * piece.block.terms};
  };
  multiply<Row, Result>(left.block.output_score, terms_of(left), right.block.output_score,
                        terms_of(right), scratch, scratch.outputs);
  if (weight) {
    multiply<Row, Result>(left.block.input, inputs_of(left), right.block.input, inputs_of(right),
                          scratch, scratch.inputs);
  }
  if (weight && left.plain() && right.plain()) {
    for (std::int64_t n = 0; n < left.count; ++n) {
      multiply_add(scratch.inputs + n * right.count, bias ? Result{1} : Result{0},
                   scratch.outputs + n * right.count, sum + n * stride, right.count);
    }
    return;
  }
  const std::int64_t terms = left.block.terms;
  const std::int64_t right_terms = right.block.terms;
  std::array<Result, cpu::largest_gram_tile> by_term;  // NOLINT(*-member-init)
  for (std::int64_t n = 0; n < left.count; ++n) {
    const std::int64_t input = (left.first + n) / left.block.rows_per_input - left.first_input();
    std::fill_n(by_term.data(), right.count * right_terms, Result{0});
    for (std::int64_t t = 0; t < terms; ++t) {
      add_term<Result>(
          right,
          {.inputs =
               weight ? scratch.inputs + (input * terms + t) * inputs_of(right).size() : nullptr,
           .outputs = scratch.outputs + (n * terms + t) * terms_of(right).size(),
           .bias = bias && (t == 0 || !left.block.bias_first_term)},
          by_term.data());
    }
    for (std::int64_t m = 0; m < right.count; ++m) {
      Result total = 0;
      for (std::int64_t s = 0; s < right_terms; ++s) total += by_term[m * right_terms + s];
      sum[n * stride + m] += total;
    }
  }
}

/// Adds two blocks' share of rows x columns of K to `sum`, in pieces of at most `most` terms a
/// side.
template <class Row, class Result>
void add_pair(const LayerUse& left, const LayerUse& right, Range rows, Range columns,
              std::int64_t most, const cpu::TileScratch<Result>& scratch, Result* sum,
              std::int64_t stride) {
  const Range own_rows = common(rows, range_of(left));
  const Range own_columns = common(columns, range_of(right));
  const std::int64_t height = most / left.terms;
  const std::int64_t width = most / right.terms;
  for (std::int64_t i = own_rows.begin; i < own_rows.end; i += height) {
    for (std::int64_t j = own_columns.begin; j < own_columns.end; j += width) {
      const Piece upper{left, i - left.first, std::min(height, own_rows.end - i)};
      const Piece side{right, j - right.first, std::min(width, own_columns.end - j)};
      add_pieces<Row, Result>(upper, side, scratch,
                              sum + (i - rows.begin) * stride + (j - columns.begin), stride);
    }
  }
}

/// Each tile passes through all blocks while it is in cache, on one thread: within an OpenMP loop
/// the BLAS runs on the calling thread. `adds`: K holds the formed blocks' share.
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
      for (const LayerUse& left : rows.blocks) {
        if (left.formed || common(down, range_of(left)).empty()) continue;
        for (const LayerUse& right : rows.blocks) {
          if (!share_weight(left, right) && !share_bias(left, right)) continue;
          add_pair<Row, Result>(left, right, down, across, size, own, own.sum, width);
        }
      }
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

// Formed blocks.

/// Some columns of S: outputs [output, + outputs) and inputs [input, + inputs) of a weight, or
/// outputs of a bias, for which `inputs` is 1.
struct Columns {
  std::int64_t offset;
  bool bias;
  std::int64_t output, outputs;
  std::int64_t input, inputs;
  std::int64_t count() const { return outputs * inputs; }
};

bool uses(const LayerUse& block, const Columns& columns) {
  return (columns.bias ? block.bias_offset : block.weight_offset) == columns.offset;
}

/// row += these columns of row n of S, n counted from the block's first.
template <class Row, class Result>
void form_row(const LayerUse& block, const Columns& columns, std::int64_t n, Result* buffer,
              Result* row) {
  const std::int64_t terms = block.terms;
  if (columns.bias) {
    const std::int64_t carrying = block.bias_first_term ? 1 : terms;
    for (std::int64_t t = 0; t < carrying; ++t) {
      cpu::add_scaled(Result{1}, at<Row>(block.output_score, n * terms + t, columns.output), row,
                      columns.outputs);
    }
    return;
  }
  const std::int64_t input = n / block.rows_per_input * terms;
  if (terms == 1) {
    const Row* d = at<Row>(block.output_score, n, columns.output);
    const Row* a = at<Row>(block.input, input, columns.input);
    for (std::int64_t o = 0; o < columns.outputs; ++o) {
      cpu::add_scaled(static_cast<Result>(d[o]), a, row + o * columns.inputs, columns.inputs);
    }
    return;
  }
  for (std::int64_t first = 0; first < terms; first += cpu::formed_terms) {
    const std::int64_t count = std::min(cpu::formed_terms, terms - first);
    const auto d = factor<Row, Result>(block.output_score, n * terms + first, count, columns.output,
                                       columns.outputs, buffer);
    const auto a = factor<Row, Result>(block.input, input + first, count, columns.input,
                                       columns.inputs, buffer + count * columns.outputs);
    blas::gemm<Result>(Transpose::yes, Transpose::no, columns.outputs, columns.inputs, count, 1,
                       d.data, d.leading_dimension, a.data, a.leading_dimension, 1, row,
                       columns.inputs);
  }
}

/// K += R R^T, R the rows of these columns.
template <class Row, class Result>
void add_columns(const RowBatch& rows, const Columns& columns, const View& K,
                 const cpu::FormedScratch<Result>& scratch) {
  Range hull{rows.rows(), 0};
  for (const LayerUse& block : rows.blocks) {
    if (!uses(block, columns)) continue;
    hull = {std::min(hull.begin, block.first), std::max(hull.end, block.first + block.rows)};
  }
  const std::int64_t count = columns.count();
  cpu::parallel_blocks(
      hull.size(), cpu::row_grain(count), [&](std::int64_t begin, std::int64_t end) {
        Result* buffer = scratch.conversion(cpu::thread_index());
        std::fill_n(scratch.rows + begin * count, (end - begin) * count, Result{0});
        for (const LayerUse& block : rows.blocks) {
          if (!uses(block, columns)) continue;
          const Range own = common({hull.begin + begin, hull.begin + end}, range_of(block));
          for (std::int64_t n = own.begin; n < own.end; ++n) {
            form_row<Row, Result>(block, columns, n - block.first, buffer,
                                  scratch.rows + (n - hull.begin) * count);
          }
        }
      });
  blas::syrk<Result>(Triangle::lower, Transpose::no, hull.size(), count, 1, scratch.rows, count, 1,
                     at<Result>(K, hull.begin, hull.begin), K.leading_dimension());
}

template <class Row, class Result>
void add_formed_block(const RowBatch& rows, const LayerUse& block, const View& K,
                      const cpu::FormedScratch<Result>& scratch) {
  if (block.weight_offset >= 0 && !is_repeated(rows, block, false)) {
    const std::int64_t inputs = std::min(block.inputs, cpu::formed_columns);
    const std::int64_t outputs = cpu::formed_columns / inputs;
    for (std::int64_t o = 0; o < block.outputs; o += outputs) {
      for (std::int64_t i = 0; i < block.inputs; i += inputs) {
        add_columns<Row, Result>(rows,
                                 {.offset = block.weight_offset,
                                  .bias = false,
                                  .output = o,
                                  .outputs = std::min(outputs, block.outputs - o),
                                  .input = i,
                                  .inputs = std::min(inputs, block.inputs - i)},
                                 K, scratch);
      }
    }
  }
  if (block.bias_offset < 0 || is_repeated(rows, block, true)) return;
  if constexpr (std::is_same_v<Row, Result>) {
    // The rows as they are.
    if ((block.terms == 1 || block.bias_first_term) && is_alone(rows, block)) {
      return blas::syrk<Result>(Triangle::lower, Transpose::no, block.rows, block.outputs, 1,
                                block.output_score.as<Row>(),
                                block.output_score.leading_dimension() * block.terms, 1,
                                at<Result>(K, block.first, block.first), K.leading_dimension());
    }
  }
  for (std::int64_t o = 0; o < block.outputs; o += cpu::formed_columns) {
    add_columns<Row, Result>(rows,
                             {.offset = block.bias_offset,
                              .bias = true,
                              .output = o,
                              .outputs = std::min(cpu::formed_columns, block.outputs - o),
                              .input = 0,
                              .inputs = 1},
                             K, scratch);
  }
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
  const auto is_formed = [](const LayerUse& block) { return block.formed; };
  const bool formed = std::any_of(rows.blocks.begin(), rows.blocks.end(), is_formed);
  const bool paired = !std::all_of(rows.blocks.begin(), rows.blocks.end(), is_formed);
  const ElementType type = K.type();
  with_row_types(rows, type, [&]<class Row, class Result>(Row, Result) {
    if (formed) {
      clear_lower<Result>(K);
      const cpu::FormedScratch<Result> own(scratch.data, rows.rows());
      for (const LayerUse& block : rows.blocks) {
        if (block.formed) add_formed_block<Row, Result>(rows, block, K, own);
      }
    }
    if (formed && !paired) return scale_lower<Result>(rows, K);
    gram_by_tiles<Row, Result>(rows, formed, K, scratch);
  });
}

}  // namespace natgrad
