// Gram matrix, products and materialization of rows that are outer products: n rows of S, of which
// only the factors A (n, d_in) and D (n, d_out) of each layer exist. `Row` is the factors' type,
// `Result` that of K, z, g and of all arithmetic; where they differ, pieces of the factors are
// converted into scratch.

#include "backend/cpu/blas.hpp"
#include "backend/cpu/cpu_backend.hpp"
#include "backend/cpu/multiversion.hpp"
#include "backend/cpu/pieces.hpp"
#include "backend/cpu/row_scratch.hpp"

#include <algorithm>
#include <cmath>
#include <type_traits>

namespace natgrad {

using cpu::at;

namespace {

template <class Body>
void with_row_types(ElementType row, ElementType result, const Body& body) {
  if (result == ElementType::float32)
    body(float{}, float{});
  else if (row == ElementType::float32)
    body(float{}, double{});
  else
    body(double{}, double{});
}

ElementType row_type(const RowBlocks& rows, ElementType otherwise) {
  return rows.blocks.empty() ? otherwise : rows.blocks.front().output_score.type();
}

template <class T>
struct Factor {
  const T* data;
  std::int64_t leading_dimension;
};

/// Rows [first, first + count) and columns [column, column + columns) of a factor as `Result`, in
/// `buffer` where they must be converted.
template <class Row, class Result>
Factor<Result> factor(const ConstView& view, std::int64_t first, std::int64_t count,
                      std::int64_t column, std::int64_t columns, Result* buffer) {
  const Row* source = at<Row>(view, first, column);
  if constexpr (std::is_same_v<Row, Result>) {
    return {source, view.leading_dimension()};
  } else {
    for (std::int64_t i = 0; i < count; ++i) {
      const Row* from = source + i * view.leading_dimension();
      std::copy_n(from, columns, buffer + i * columns);
    }
    return {buffer, columns};
  }
}

template <class Row, class Result>
Factor<Result> factor(const ConstView& view, std::int64_t first, std::int64_t count,
                      Result* buffer) {
  return factor<Row, Result>(view, first, count, 0, view.columns(), buffer);
}

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

template <class T>
NATGRAD_MULTIVERSION T dot_run(const T* x, const T* y, std::int64_t count) {
  constexpr std::int64_t lanes = 16;
  T sums[lanes] = {};
  std::int64_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    for (std::int64_t lane = 0; lane < lanes; ++lane) sums[lane] += x[i + lane] * y[i + lane];
  }
  for (; i < count; ++i) sums[0] += x[i] * y[i];
  T sum = 0;
  for (T part : sums) sum += part;
  return sum;
}

template <class T>
NATGRAD_MULTIVERSION void scaled_copy(T factor, const T* from, T* to, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) to[i] = factor * from[i];
}

/// One tile of K: rows [row, row + height) against columns [column, column + width).
struct Tile {
  std::int64_t row, column, height, width;
};

/// Adds one layer's share, (A_i A_j^T + bias) o (D_i D_j^T), to `sum`, row-major with `width`
/// columns. 2 height width (d_in + d_out) operations.
template <class Row, class Result>
void add_block(const RowBlock& block, const Tile& t, const cpu::GramScratch<Result>& scratch) {
  const auto product = [&](const ConstView& view, Result beta, Result* to) {
    // All columns at once, or as many as are converted at a time.
    constexpr bool converts = !std::is_same_v<Row, Result>;
    const std::int64_t step = converts ? cpu::dense_conversion_columns : view.columns();
    for (std::int64_t column = 0; column < view.columns(); column += step) {
      const std::int64_t columns = std::min(step, view.columns() - column);
      const auto left = factor<Row, Result>(view, t.row, t.height, column, columns, scratch.left);
      const auto right =
          factor<Row, Result>(view, t.column, t.width, column, columns, scratch.right);
      blas::gemm<Result>(Transpose::no, Transpose::yes, t.height, t.width, columns, 1, left.data,
                         left.leading_dimension, right.data, right.leading_dimension,
                         column == 0 ? beta : Result{1}, to, t.width);
    }
  };
  if (block.weight_offset < 0) return product(block.output_score, 1, scratch.sum);
  product(block.input, 0, scratch.inputs);
  product(block.output_score, 0, scratch.outputs);
  multiply_add(scratch.inputs, block.bias_offset < 0 ? Result{0} : Result{1}, scratch.outputs,
               scratch.sum, t.height * t.width);
}

/// Each tile passes through all layers while it is in cache, on one thread: within an OpenMP loop
/// the BLAS runs on the calling thread.
template <class Row, class Result>
void gram_by_tiles(const RowBlocks& rows, const View& K, const Scratch& scratch) {
  const std::int64_t n = rows.rows();
  const std::int64_t size = cpu::gram_tile(n);
  const std::int64_t side = (n + size - 1) / size;
  const double* scale = rows.scale.as<double>();
#pragma omp parallel if (side > 1)
  {
    const cpu::GramScratch<Result> own(scratch.data, cpu::thread_index(), size,
                                       cpu::conversion_columns(rows, element_type_of<Result>));
#pragma omp for schedule(dynamic)
    for (std::int64_t index = 0; index < side * (side + 1) / 2; ++index) {
      const auto i =
          static_cast<std::int64_t>((std::sqrt(8.0 * static_cast<double>(index) + 1) - 1) / 2);
      const std::int64_t j = index - i * (i + 1) / 2;
      const Tile tile{.row = i * size,
                      .column = j * size,
                      .height = std::min(size, n - i * size),
                      .width = std::min(size, n - j * size)};
      std::fill_n(own.sum, tile.height * tile.width, Result{0});
      for (const RowBlock& block : rows.blocks) add_block<Row, Result>(block, tile, own);
      for (std::int64_t r = 0; r < tile.height; ++r) {
        const std::int64_t row = tile.row + r;
        // Of a tile on the diagonal only the lower triangle is K's to write.
        scale_run(scale[row], scale + tile.column, own.sum + r * tile.width,
                  at<Result>(K, row, tile.column), std::min(tile.width, row - tile.column + 1));
      }
    }
  }
}

/// A single dense block: the BLAS's own symmetric product over all threads, converted by columns
/// where types differ.
template <class Row, class Result>
void gram_of_dense_rows(const RowBlocks& rows, const View& K, const Scratch& scratch) {
  const ConstView& d = rows.blocks.front().output_score;
  const std::int64_t n = rows.rows();
  Result* k = K.as<Result>();
  if constexpr (std::is_same_v<Row, Result>) {
    blas::syrk<Result>(Triangle::lower, Transpose::no, n, d.columns(), 1, d.as<Row>(),
                       d.leading_dimension(), 0, k, K.leading_dimension());
  } else {
    auto* buffer = static_cast<Result*>(scratch.data);
    for (std::int64_t first = 0; first < d.columns(); first += cpu::dense_conversion_columns) {
      const std::int64_t count = std::min(cpu::dense_conversion_columns, d.columns() - first);
      cpu::parallel_blocks(n, cpu::row_grain(count), [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t i = begin; i < end; ++i) {
          std::copy_n(at<Row>(d, i, first), count, buffer + i * count);
        }
      });
      blas::syrk<Result>(Triangle::lower, Transpose::no, n, count, 1, buffer, count,
                         first == 0 ? 0 : 1, k, K.leading_dimension());
    }
  }
  const double* scale = rows.scale.as<double>();
  cpu::parallel_blocks(n, cpu::row_grain(n), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      Result* row = at<Result>(K, i, 0);
      scale_run(scale[i], scale, row, row, i + 1);
    }
  });
}

/// z_n += sum_o (A V^T + v_b)_no D_no for rows [first, first + count).
template <class Row, class Result>
void apply_block(const RowBlock& block, std::int64_t first, std::int64_t count, const Result* v,
                 Result* z, const cpu::ProductScratch<Result>& scratch) {
  const std::int64_t d_out = block.output_score.columns();
  const auto d = factor<Row, Result>(block.output_score, first, count, scratch.outputs);
  const Result* v_bias = block.bias_offset < 0 ? nullptr : v + block.bias_offset;
  if (block.weight_offset < 0) {
    blas::gemv<Result>(Transpose::no, count, d_out, 1, d.data, d.leading_dimension, v_bias, 1, z);
    return;
  }
  const auto a = factor<Row, Result>(block.input, first, count, scratch.inputs);
  blas::gemm<Result>(Transpose::no, Transpose::yes, count, d_out, block.input.columns(), 1, a.data,
                     a.leading_dimension, v + block.weight_offset, block.input.columns(), 0,
                     scratch.product, d_out);
  cpu::parallel_blocks(count, cpu::row_grain(d_out), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t n = begin; n < end; ++n) {
      const Result* d_row = d.data + n * d.leading_dimension;
      z[n] += dot_run(scratch.product + n * d_out, d_row, d_out);
      if (v_bias != nullptr) z[n] += dot_run(v_bias, d_row, d_out);
    }
  });
}

/// g += (diag(u) D)^T A and D^T u over rows [first, first + count), after g *= beta.
template <class Row, class Result>
void adjoint_block(const RowBlock& block, std::int64_t first, std::int64_t count, const Result* u,
                   Result beta, Result* g, const cpu::ProductScratch<Result>& scratch) {
  const std::int64_t d_out = block.output_score.columns();
  const auto d = factor<Row, Result>(block.output_score, first, count, scratch.outputs);
  if (block.bias_offset >= 0) {
    blas::gemv<Result>(Transpose::yes, count, d_out, 1, d.data, d.leading_dimension, u, beta,
                       g + block.bias_offset);
  }
  if (block.weight_offset < 0) return;
  cpu::parallel_blocks(count, cpu::row_grain(d_out), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t n = begin; n < end; ++n) {
      scaled_copy(u[n], d.data + n * d.leading_dimension, scratch.product + n * d_out, d_out);
    }
  });
  const auto a = factor<Row, Result>(block.input, first, count, scratch.inputs);
  const std::int64_t d_in = block.input.columns();
  blas::gemm<Result>(Transpose::yes, Transpose::no, d_out, d_in, count, 1, scratch.product, d_out,
                     a.data, a.leading_dimension, beta, g + block.weight_offset, d_in);
}

std::int64_t covered_parameters(const RowBlocks& rows) {
  std::int64_t covered = 0;
  for (const RowBlock& block : rows.blocks) {
    const std::int64_t d_out = block.output_score.columns();
    if (block.bias_offset >= 0) covered += d_out;
    if (block.weight_offset >= 0) covered += d_out * block.input.columns();
  }
  return covered;
}

template <class Row, class Result>
void materialize_block(const RowBlock& block, std::int64_t n, double scale, Result* row) {
  const Row* d = at<Row>(block.output_score, n, 0);
  const std::int64_t d_out = block.output_score.columns();
  const auto factor = static_cast<Result>(scale);
  if (block.bias_offset >= 0) {
    for (std::int64_t o = 0; o < d_out; ++o) {
      row[block.bias_offset + o] = factor * static_cast<Result>(d[o]);
    }
  }
  if (block.weight_offset < 0) return;
  const Row* a = at<Row>(block.input, n, 0);
  const std::int64_t d_in = block.input.columns();
  for (std::int64_t o = 0; o < d_out; ++o) {
    Result* out = row + block.weight_offset + o * d_in;
    const Result scaled = factor * static_cast<Result>(d[o]);
    for (std::int64_t i = 0; i < d_in; ++i) out[i] = scaled * static_cast<Result>(a[i]);
  }
}

}  // namespace

void CpuBackend::row_scaling(const ConstView& weights, double uniform,
                             const ConstView& coefficients, double factor, const View& scale,
                             const View& rhs) {
  const auto element = [](const ConstView& view, std::int64_t n, double otherwise) {
    if (view.empty()) return otherwise;
    return view.type() == ElementType::float64 ? view.as<double>()[n]
                                               : static_cast<double>(view.as<float>()[n]);
  };
  for (std::int64_t n = 0; n < scale.rows(); ++n) {
    const double root = std::sqrt(element(weights, n, uniform));
    scale.as<double>()[n] = factor * root;
    rhs.as<double>()[n] = root * element(coefficients, n, 1);
  }
}

void CpuBackend::gram(const RowBlocks& rows, const View& K, Scratch scratch) {
  cpu::require_blas_sizes(rows);
  const bool dense = rows.blocks.size() == 1 && rows.blocks.front().weight_offset < 0;
  with_row_types(row_type(rows, K.type()), K.type(), [&]<class Row, class Result>(Row, Result) {
    if (dense)
      gram_of_dense_rows<Row, Result>(rows, K, scratch);
    else
      gram_by_tiles<Row, Result>(rows, K, scratch);
  });
}

void CpuBackend::apply(const RowBlocks& rows, const ConstView& v, const View& z, Scratch scratch) {
  cpu::require_blas_sizes(rows);
  const double* scale = rows.scale.as<double>();
  const std::int64_t n = rows.rows();
  with_row_types(row_type(rows, z.type()), z.type(), [&]<class Row, class Result>(Row, Result) {
    Result* out = z.as<Result>();
    const cpu::ProductScratch<Result> own(scratch.data, rows, cpu::product_rows(n, rows, z.type()));
    std::fill_n(out, n, Result{0});
    for (std::int64_t first = 0; first < n; first += own.rows) {
      const std::int64_t count = std::min(own.rows, n - first);
      for (const RowBlock& block : rows.blocks) {
        apply_block<Row, Result>(block, first, count, v.as<Result>(), out + first, own);
      }
    }
    for (std::int64_t i = 0; i < n; ++i) out[i] *= static_cast<Result>(scale[i]);
  });
}

void CpuBackend::adjoint(const RowBlocks& rows, const ConstView& y, double b, const View& g,
                         Scratch scratch) {
  cpu::require_blas_sizes(rows);
  const double* scale = rows.scale.as<double>();
  const std::int64_t n = rows.rows();
  // Numbers that no block writes are b g too, and without rows all are.
  if (n == 0 || covered_parameters(rows) < g.size()) {
    if (b == 0)
      fill(0, g);
    else
      axpby(0.0, g, b, g);
    b = 1;
  }
  with_row_types(row_type(rows, g.type()), g.type(), [&]<class Row, class Result>(Row, Result) {
    const cpu::ProductScratch<Result> own(scratch.data, rows, cpu::product_rows(n, rows, g.type()));
    for (std::int64_t i = 0; i < n; ++i) {
      own.rhs[i] = static_cast<Result>(scale[i] * static_cast<double>(y.as<Result>()[i]));
    }
    for (std::int64_t first = 0; first < n; first += own.rows) {
      const std::int64_t count = std::min(own.rows, n - first);
      const Result beta = first == 0 ? static_cast<Result>(b) : Result{1};
      for (const RowBlock& block : rows.blocks) {
        adjoint_block<Row, Result>(block, first, count, own.rhs + first, beta, g.as<Result>(), own);
      }
    }
  });
}

void CpuBackend::materialize(const RowBlocks& rows, std::int64_t first, const View& out) {
  const double* scale = rows.scale.as<double>();
  const bool gaps = covered_parameters(rows) < out.columns();
  with_row_types(row_type(rows, out.type()), out.type(), [&]<class Row, class Result>(Row, Result) {
    cpu::parallel_blocks(
        out.rows(), cpu::row_grain(out.columns()), [&](std::int64_t begin, std::int64_t end) {
          for (std::int64_t i = begin; i < end; ++i) {
            Result* row = at<Result>(out, i, 0);
            if (gaps) std::fill_n(row, out.columns(), Result{0});
            for (const RowBlock& block : rows.blocks) {
              materialize_block<Row, Result>(block, first + i, scale[first + i], row);
            }
          }
        });
  });
}

std::int64_t CpuBackend::rows_scratch(const RowBlocks& rows, ElementType type) const {
  return cpu::rows_scratch(rows, type);
}

}  // namespace natgrad
