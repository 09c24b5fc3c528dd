// Products and materialization of rows that are sums of outer products: of S only the factors A and
// D of each block exist.

#include "backend/cpu/blas.hpp"
#include "backend/cpu/cpu_backend.hpp"
#include "backend/cpu/row_factors.hpp"
#include "backend/cpu/row_scratch.hpp"

#include <algorithm>
#include <cmath>

namespace natgrad {

using cpu::at;
using cpu::dot_run;
using cpu::factor;

namespace {

template <class T>
NATGRAD_MULTIVERSION void scaled_copy(T factor, const T* from, T* to, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) to[i] = factor * from[i];
}

/// Rows [first, first + count) of a block, counted from its own first, with their factors.
template <class Row, class Result>
struct Piece {
  const LayerUse& block;
  std::int64_t first;
  std::int64_t count;
  cpu::Factor<Result> outputs;   // (count T, d_out)
  cpu::Factor<Result> inputs{};  // (count / R T, d_in), where there is a weight

  Piece(const LayerUse& whole, std::int64_t from, std::int64_t rows,
        const cpu::ProductScratch<Result>& scratch)
      : block(whole),
        first(from),
        count(rows),
        outputs(factor<Row, Result>(whole.output_score, from * whole.terms, rows * whole.terms, 0,
                                    whole.outputs, scratch.outputs)) {
    if (whole.weight_offset < 0) return;
    inputs = factor<Row, Result>(whole.input, from / whole.rows_per_input * whole.terms,
                                 rows / whole.rows_per_input * whole.terms, 0, whole.inputs,
                                 scratch.inputs);
  }

  std::int64_t input_terms() const { return count / block.rows_per_input * block.terms; }
  /// Of row n and term t of these.
  const Result* output(std::int64_t n, std::int64_t t) const {
    return outputs.data + (n * block.terms + t) * outputs.leading_dimension;
  }
};

template <class Row, class Result, class Body>
void for_each_piece(const LayerUse& block, void* memory, std::int64_t n, const Body& body) {
  const cpu::ProductPieces pieces(block, !std::is_same_v<Row, Result>);
  const cpu::ProductScratch<Result> scratch(memory, n, pieces);
  for (std::int64_t first = 0; first < block.rows; first += pieces.rows) {
    const std::int64_t count = std::min(pieces.rows, block.rows - first);
    body(Piece<Row, Result>(block, first, count, scratch), scratch);
  }
}

/// z_n += sum_t D_nt . v_b over the terms that carry the bias.
template <class Row, class Result>
void apply_bias(const Piece<Row, Result>& piece, const Result* v, Result* z, Result* product) {
  const LayerUse& block = piece.block;
  const cpu::Factor<Result>& d = piece.outputs;
  if (block.terms == 1 || block.bias_first_term) {
    return blas::gemv<Result>(Transpose::no, piece.count, block.outputs, 1, d.data,
                              d.leading_dimension * block.terms, v, 1, z);
  }
  blas::gemv<Result>(Transpose::no, piece.count * block.terms, block.outputs, 1, d.data,
                     d.leading_dimension, v, 0, product);
  for (std::int64_t n = 0; n < piece.count; ++n) {
    for (std::int64_t t = 0; t < block.terms; ++t) z[n] += product[n * block.terms + t];
  }
}

/// z_n += sum_t (A_nt V^T + v_b) . D_nt.
template <class Row, class Result>
void apply_piece(const Piece<Row, Result>& piece, const Result* v, Result* z, Result* product) {
  const LayerUse& block = piece.block;
  const Result* bias = block.bias_offset < 0 ? nullptr : v + block.bias_offset;
  if (block.weight_offset < 0) return apply_bias(piece, bias, z, product);
  blas::gemm<Result>(Transpose::no, Transpose::yes, piece.input_terms(), block.outputs,
                     block.inputs, 1, piece.inputs.data, piece.inputs.leading_dimension,
                     v + block.weight_offset, block.inputs, 0, product, block.outputs);
  const std::int64_t grain = cpu::row_grain(block.terms * block.outputs);
  cpu::parallel_blocks(piece.count, grain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t n = begin; n < end; ++n) {
      const Result* own = product + n / block.rows_per_input * block.terms * block.outputs;
      for (std::int64_t t = 0; t < block.terms; ++t) {
        const Result* d = piece.output(n, t);
        z[n] += dot_run(own + t * block.outputs, d, block.outputs);
        if (bias != nullptr && (t == 0 || !block.bias_first_term)) {
          z[n] += dot_run(bias, d, block.outputs);
        }
      }
    }
  });
}

/// g_b = sum_nt u_n D_nt + beta g_b over the terms that carry the bias.
template <class Row, class Result>
void adjoint_bias(const Piece<Row, Result>& piece, const Result* u, Result beta, Result* g,
                  Result* product) {
  const LayerUse& block = piece.block;
  const cpu::Factor<Result>& d = piece.outputs;
  if (block.terms == 1 || block.bias_first_term) {
    return blas::gemv<Result>(Transpose::yes, piece.count, block.outputs, 1, d.data,
                              d.leading_dimension * block.terms, u, beta, g);
  }
  for (std::int64_t n = 0; n < piece.count; ++n) {
    std::fill_n(product + n * block.terms, block.terms, u[n]);
  }
  blas::gemv<Result>(Transpose::yes, piece.count * block.terms, block.outputs, 1, d.data,
                     d.leading_dimension, product, beta, g);
}

/// E (count / R T, d_out) in `product`: the sum of u_n D_nt over the rows n of each input.
template <class Row, class Result>
void weigh_outputs(const Piece<Row, Result>& piece, const Result* u, Result* product) {
  const LayerUse& block = piece.block;
  const std::int64_t per_input = block.rows_per_input;
  const std::int64_t grain = cpu::row_grain(block.outputs * per_input);
  cpu::parallel_blocks(piece.input_terms(), grain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t n = i / block.terms * per_input;
      const std::int64_t t = i % block.terms;
      Result* to = product + i * block.outputs;
      scaled_copy(u[n], piece.output(n, t), to, block.outputs);
      for (std::int64_t r = 1; r < per_input; ++r) {
        cpu::add_scaled(u[n + r], piece.output(n + r, t), to, block.outputs);
      }
    }
  });
}

/// g = sum_nt u_n D_nt (x) A_nt + beta g.
template <class Row, class Result>
void adjoint_piece(const Piece<Row, Result>& piece, const Result* u, Result beta, Result* g,
                   Result* product) {
  const LayerUse& block = piece.block;
  if (block.bias_offset >= 0) adjoint_bias(piece, u, beta, g + block.bias_offset, product);
  if (block.weight_offset < 0) return;
  weigh_outputs(piece, u, product);
  blas::gemm<Result>(Transpose::yes, Transpose::no, block.outputs, block.inputs,
                     piece.input_terms(), 1, product, block.outputs, piece.inputs.data,
                     piece.inputs.leading_dimension, beta, g + block.weight_offset, block.inputs);
}

/// row += scale times the block's part of row n, n counted from the block's first.
template <class Row, class Result>
void materialize_block(const LayerUse& block, std::int64_t n, double scale, Result* row) {
  const auto factor = static_cast<Result>(scale);
  for (std::int64_t t = 0; t < block.terms; ++t) {
    const Row* d = at<Row>(block.output_score, n * block.terms + t, 0);
    if (block.bias_offset >= 0 && (t == 0 || !block.bias_first_term)) {
      cpu::add_scaled(factor, d, row + block.bias_offset, block.outputs);
    }
    if (block.weight_offset < 0) continue;
    const Row* a = at<Row>(block.input, n / block.rows_per_input * block.terms + t, 0);
    for (std::int64_t o = 0; o < block.outputs; ++o) {
      cpu::add_scaled(factor * static_cast<Result>(d[o]), a,
                      row + block.weight_offset + o * block.inputs, block.inputs);
    }
  }
}

}  // namespace

void CpuBackend::row_scaling(const ConstView& weights, double uniform,
                             const ConstView& coefficients, Scalar reference, double factor,
                             const View& scale, const View& rhs) {
  const auto element = [](const ConstView& view, std::int64_t n, double otherwise) {
    if (view.empty()) return otherwise;
    return view.type() == ElementType::float64 ? *at<double>(view, n, 0)
                                               : static_cast<double>(*at<float>(view, n, 0));
  };
  const double origin = cpu::value_of(reference);
  for (std::int64_t n = 0; n < scale.rows(); ++n) {
    const double root = std::sqrt(element(weights, n, uniform));
    scale.as<double>()[n] = factor * root;
    rhs.as<double>()[n] = root * (element(coefficients, n, 1) - origin);
  }
}

void CpuBackend::apply(const RowBatch& rows, const ConstView& v, const View& z, Scratch scratch) {
  cpu::require_blas_sizes(rows);
  const double* scale = rows.scale.as<double>();
  const std::int64_t n = rows.rows();
  const ElementType type = z.type();
  with_row_types(rows, type, [&]<class Row, class Result>(Row, Result) {
    Result* out = z.as<Result>();
    std::fill_n(out, n, Result{0});
    for (const LayerUse& block : rows.blocks) {
      for_each_piece<Row, Result>(block, scratch.data, n, [&](const auto& piece, const auto& own) {
        apply_piece(piece, v.as<Result>(), out + block.first + piece.first, own.product);
      });
    }
    for (std::int64_t i = 0; i < n; ++i) out[i] *= static_cast<Result>(scale[i]);
  });
}

void CpuBackend::adjoint(const RowBatch& rows, const ConstView& y, double b, const View& g,
                         Scratch scratch) {
  cpu::require_blas_sizes(rows);
  const double* scale = rows.scale.as<double>();
  const std::int64_t n = rows.rows();
  if (!write_once(rows.blocks, {0, n}, g.size())) {
    if (b == 0)
      fill(0, g);
    else if (b != 1)
      axpby(0.0, g, b, g);
    b = 1;
  }
  const ElementType type = g.type();
  with_row_types(rows, type, [&]<class Row, class Result>(Row, Result) {
    auto* u = static_cast<Result*>(scratch.data);
    for (std::int64_t i = 0; i < n; ++i) {
      u[i] = static_cast<Result>(scale[i] * static_cast<double>(y.as<Result>()[i]));
    }
    for (const LayerUse& block : rows.blocks) {
      for_each_piece<Row, Result>(block, scratch.data, n, [&](const auto& piece, const auto& own) {
        const Result beta = piece.first == 0 ? static_cast<Result>(b) : Result{1};
        adjoint_piece(piece, own.rhs + block.first + piece.first, beta, g.as<Result>(),
                      own.product);
      });
    }
  });
}

void CpuBackend::materialize(const RowBatch& rows, std::int64_t first, const View& out) {
  const double* scale = rows.scale.as<double>();
  const ElementType type = out.type();
  with_row_types(rows, type, [&]<class Row, class Result>(Row, Result) {
    cpu::parallel_blocks(
        out.rows(), cpu::row_grain(out.columns()), [&](std::int64_t begin, std::int64_t end) {
          for (std::int64_t i = begin; i < end; ++i) {
            Result* row = at<Result>(out, i, 0);
            std::fill_n(row, out.columns(), Result{0});
            const std::int64_t n = first + i;
            for (const LayerUse& block : rows.blocks) {
              if (n < block.first || n >= block.first + block.rows) continue;
              materialize_block<Row, Result>(block, n - block.first, scale[n], row);
            }
          }
        });
  });
}

std::int64_t CpuBackend::rows_scratch(std::span<const LayerUse> blocks, std::int64_t rows,
                                      ElementType factors, ElementType result) const {
  return cpu::rows_scratch(blocks, rows, factors != result) * size_of(result);
}

}  // namespace natgrad
