// The CPU's products with rows of S that are sums of outer products, and rows written out. Of S
// only the factors A and D of each use of a layer exist.

#include "backend/cpu/blas.hpp"
#include "backend/cpu/cpu_backend.hpp"
#include "backend/cpu/row_factors.hpp"
#include "backend/cpu/row_scratch.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace natgrad {

using cpu::at;
using cpu::dot_run;
using cpu::factor;

namespace {

template <class T>
NATGRAD_MULTIVERSION void scaled_copy(T factor, const T* from, T* to, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) to[i] = factor * from[i];
}

/// Rows [first, first + count) of a use, counted from its own first, with their factors.
template <class Row, class Result>
struct Piece {
  const LayerUse& use;
  std::int64_t first;
  std::int64_t count;
  cpu::Factor<Result> outputs;   // (count T, d_out)
  cpu::Factor<Result> inputs{};  // (count / R T, d_in), where there is a weight

  Piece(const LayerUse& whole, std::int64_t from, std::int64_t rows,
        const cpu::ProductScratch<Result>& scratch)
      : use(whole),
        first(from),
        count(rows),
        outputs(factor<Row, Result>(whole.output_score, from * whole.terms, rows * whole.terms, 0,
                                    whole.outputs, scratch.outputs)) {
    if (whole.weight_offset < 0 || whole.lookup) return;
    inputs = factor<Row, Result>(whole.input, from / whole.rows_per_input * whole.terms,
                                 rows / whole.rows_per_input * whole.terms, 0, whole.inputs,
                                 scratch.inputs);
  }

  std::int64_t input_terms() const { return count / use.rows_per_input * use.terms; }
  /// Of row n and term t of these.
  const Result* output(std::int64_t n, std::int64_t t) const {
    return outputs.data + (n * use.terms + t) * outputs.leading_dimension;
  }
};

/// Pieces of the rows `range` of a use, counted from its first.
template <class Row, class Result, class Body>
void for_each_piece(const LayerUse& use, Range range, void* memory, std::int64_t n,
                    const Body& body) {
  const cpu::ProductPieces pieces(use, !std::is_same_v<Row, Result>);
  const cpu::ProductScratch<Result> scratch(memory, n, pieces);
  natgrad::for_each_piece(range, pieces.rows, [&](Range piece) {
    body(Piece<Row, Result>(use, piece.begin, piece.size(), scratch), scratch);
  });
}

template <class Row>
bool all_finite(const ConstView& factor, Range rows) {
  for (std::int64_t i = rows.begin; i < rows.end; ++i) {
    const Row* row = at<Row>(factor, i, 0);
    if (!std::all_of(row, row + factor.columns(), [](Row x) { return std::isfinite(x); })) {
      return false;
    }
  }
  return true;
}

/// Whether a sum over rows must leave these out, because all of them have the scale 0 and one holds
/// NaN or Inf, which times 0 is NaN. Rows count from the use's first, and so does `scale`. Reads
/// rows of scale 0 alone.
template <class Row>
bool must_skip(const LayerUse& use, Range own, const double* scale) {
  const auto is_zero = [](double number) { return number == 0; };
  if (!std::all_of(scale + own.begin, scale + own.end, is_zero)) return false;
  return !all_finite<Row>(use.output_score, output_terms(use, own)) ||
         (use.weight_offset >= 0 && !use.lookup &&
          !all_finite<Row>(use.input, input_terms(use, own)));
}

/// Calls body(run) for the longest runs of a use's rows that a sum may read, in whole groups of
/// rows that share an input. No run is empty.
template <class Row, class Body>
void for_each_run(const LayerUse& use, const double* scale, const Body& body) {
  Range run{0, 0};
  for (std::int64_t first = 0; first < use.rows; first += use.rows_per_input) {
    const Range group{first, first + use.rows_per_input};
    if (!must_skip<Row>(use, group, scale)) {
      run.end = group.end;
      continue;
    }
    if (!run.empty()) body(run);
    run = {group.end, group.end};
  }
  if (!run.empty()) body(run);
}

/// z_n += sum_t D_nt . v_b over the terms that carry the bias.
template <class Row, class Result>
void apply_bias(const Piece<Row, Result>& piece, const Result* v, Result* z, Result* product) {
  const LayerUse& use = piece.use;
  const cpu::Factor<Result>& d = piece.outputs;
  if (use.terms == 1 || use.bias_first_term) {
    return blas::gemv<Result>(Transpose::no, piece.count, use.outputs, 1, d.data,
                              d.leading_dimension * use.terms, v, 1, z);
  }
  blas::gemv<Result>(Transpose::no, piece.count * use.terms, use.outputs, 1, d.data,
                     d.leading_dimension, v, 0, product);
  for (std::int64_t n = 0; n < piece.count; ++n) {
    for (std::int64_t t = 0; t < use.terms; ++t) z[n] += product[n * use.terms + t];
  }
}

/// z_n += sum_t V_w . D_nt, w the row of V that term t reads.
template <class Row, class Result>
void apply_lookup(const Piece<Row, Result>& piece, const Result* v, Result* z) {
  const LayerUse& use = piece.use;
  const std::int64_t grain = cpu::row_grain(use.terms * use.outputs);
  cpu::parallel_blocks(piece.count, grain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t n = begin; n < end; ++n) {
      const std::int64_t first = (piece.first + n) / use.rows_per_input * use.terms;
      for (std::int64_t t = 0; t < use.terms; ++t) {
        const std::int64_t word = cpu::word_of(use, first + t);
        z[n] += word < 0 ? std::numeric_limits<Result>::quiet_NaN()
                         : dot_run(v + word * use.outputs, piece.output(n, t), use.outputs);
      }
    }
  });
}

/// z_n += sum_t (A_nt V^T + v_b) . D_nt.
template <class Row, class Result>
void apply_piece(const Piece<Row, Result>& piece, const Result* v, Result* z, Result* product) {
  const LayerUse& use = piece.use;
  const Result* bias = use.bias_offset < 0 ? nullptr : v + use.bias_offset;
  if (use.weight_offset < 0) return apply_bias(piece, bias, z, product);
  if (use.lookup) return apply_lookup(piece, v + use.weight_offset, z);
  blas::gemm<Result>(Transpose::no, Transpose::yes, piece.input_terms(), use.outputs, use.inputs, 1,
                     piece.inputs.data, piece.inputs.leading_dimension, v + use.weight_offset,
                     use.inputs, 0, product, use.outputs);
  const std::int64_t grain = cpu::row_grain(use.terms * use.outputs);
  cpu::parallel_blocks(piece.count, grain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t n = begin; n < end; ++n) {
      const Result* own = product + n / use.rows_per_input * use.terms * use.outputs;
      for (std::int64_t t = 0; t < use.terms; ++t) {
        const Result* d = piece.output(n, t);
        z[n] += dot_run(own + t * use.outputs, d, use.outputs);
        if (bias != nullptr && (t == 0 || !use.bias_first_term)) {
          z[n] += dot_run(bias, d, use.outputs);
        }
      }
    }
  });
}

/// Whether rows of scale 0 that are not finite share an input with other rows.
template <class Row, class Result>
bool holds_rows_to_skip(const Piece<Row, Result>& piece, const double* scale) {
  const LayerUse& use = piece.use;
  for (std::int64_t n = 0; use.rows_per_input > 1 && n < piece.count; ++n) {
    const Range row{piece.first + n, piece.first + n + 1};
    if (scale[n] == 0 && !all_finite<Row>(use.output_score, output_terms(use, row))) return true;
  }
  return false;
}

/// g_b = sum_nt u_n D_nt + beta g_b over the terms that carry the bias.
template <class Row, class Result>
void adjoint_bias(const Piece<Row, Result>& piece, const double* scale, const Result* u,
                  Result beta, Result* g, Result* product) {
  const LayerUse& use = piece.use;
  const cpu::Factor<Result>& d = piece.outputs;
  if (holds_rows_to_skip(piece, scale)) {
    const std::int64_t carrying = use.bias_first_term ? 1 : use.terms;
    for (std::int64_t o = 0; o < use.outputs; ++o) g[o] = beta == 0 ? Result{0} : beta * g[o];
    for (std::int64_t n = 0; n < piece.count; ++n) {
      for (std::int64_t t = 0; scale[n] != 0 && t < carrying; ++t) {
        cpu::add_scaled(u[n], piece.output(n, t), g, use.outputs);
      }
    }
    return;
  }
  if (use.terms == 1 || use.bias_first_term) {
    return blas::gemv<Result>(Transpose::yes, piece.count, use.outputs, 1, d.data,
                              d.leading_dimension * use.terms, u, beta, g);
  }
  for (std::int64_t n = 0; n < piece.count; ++n) {
    std::fill_n(product + n * use.terms, use.terms, u[n]);
  }
  blas::gemv<Result>(Transpose::yes, piece.count * use.terms, use.outputs, 1, d.data,
                     d.leading_dimension, product, beta, g);
}

/// E (count / R T, d_out) in `product`: the sum of u_n D_nt over the rows n of each input. Rows of
/// scale 0 may hold NaN.
template <class Row, class Result>
void weigh_outputs(const Piece<Row, Result>& piece, const double* scale, const Result* u,
                   Result* product) {
  const LayerUse& use = piece.use;
  const std::int64_t per_input = use.rows_per_input;
  const std::int64_t grain = cpu::row_grain(use.outputs * per_input);
  cpu::parallel_blocks(piece.input_terms(), grain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t n = i / use.terms * per_input;
      const std::int64_t t = i % use.terms;
      Result* to = product + i * use.outputs;
      if (scale[n] == 0) {
        std::fill_n(to, use.outputs, Result{0});
      } else {
        scaled_copy(u[n], piece.output(n, t), to, use.outputs);
      }
      for (std::int64_t r = 1; r < per_input; ++r) {
        if (scale[n + r] == 0) continue;
        cpu::add_scaled(u[n + r], piece.output(n + r, t), to, use.outputs);
      }
    }
  });
}

/// g (d_in, d_out) += E_i in the row that input term i reads, in the order of the terms: a thread
/// has some columns of all of them. An index that is none makes the first row NaN, unless all its
/// rows have scale 0.
template <class Row, class Result>
void scatter(const Piece<Row, Result>& piece, const double* scale, const Result* product,
             Result* g) {
  const LayerUse& use = piece.use;
  const std::int64_t first = piece.first / use.rows_per_input * use.terms;
  const auto left_out = [&](std::int64_t i) {
    const double* own = scale + i / use.terms * use.rows_per_input;
    return std::all_of(own, own + use.rows_per_input, [](double number) { return number == 0; });
  };
  const std::int64_t grain = cpu::row_grain(piece.input_terms());
  cpu::parallel_blocks(use.outputs, grain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = 0; i < piece.input_terms(); ++i) {
      const std::int64_t word = cpu::word_of(use, first + i);
      if (word >= 0) {
        cpu::add_scaled(Result{1}, product + i * use.outputs + begin,
                        g + word * use.outputs + begin, end - begin);
      } else if (!left_out(i)) {
        std::fill(g + begin, g + end, std::numeric_limits<Result>::quiet_NaN());
      }
    }
  });
}

/// g = sum_nt u_n D_nt (x) A_nt + beta g.
template <class Row, class Result>
void adjoint_piece(const Piece<Row, Result>& piece, const double* scale, const Result* u,
                   Result beta, Result* g, Result* product) {
  const LayerUse& use = piece.use;
  if (use.bias_offset >= 0) adjoint_bias(piece, scale, u, beta, g + use.bias_offset, product);
  if (use.weight_offset < 0) return;
  weigh_outputs(piece, scale, u, product);
  if (use.lookup) return scatter(piece, scale, product, g + use.weight_offset);
  blas::gemm<Result>(Transpose::yes, Transpose::no, use.outputs, use.inputs, piece.input_terms(), 1,
                     product, use.outputs, piece.inputs.data, piece.inputs.leading_dimension, beta,
                     g + use.weight_offset, use.inputs);
}

/// g = beta g of the parameters of a use.
template <class Result>
void scale_parameters(const LayerUse& use, Result beta, Result* g) {
  const auto scale = [beta](Result* numbers, std::int64_t count) {
    std::transform(numbers, numbers + count, numbers,
                   [beta](Result x) { return beta == 0 ? Result{0} : beta * x; });
  };
  if (use.bias_offset >= 0) scale(g + use.bias_offset, use.outputs);
  if (use.weight_offset >= 0) scale(g + use.weight_offset, use.outputs * use.inputs);
}

/// row += scale times the use's part of row n, n counted from the use's first.
template <class Row, class Result>
void materialize_use(const LayerUse& use, std::int64_t n, double scale, Result* row) {
  const auto factor = static_cast<Result>(scale);
  for (std::int64_t t = 0; t < use.terms; ++t) {
    const Row* d = at<Row>(use.output_score, n * use.terms + t, 0);
    if (use.bias_offset >= 0 && (t == 0 || !use.bias_first_term)) {
      cpu::add_scaled(factor, d, row + use.bias_offset, use.outputs);
    }
    if (use.weight_offset < 0) continue;
    if (use.lookup) {
      const std::int64_t word = cpu::word_of(use, n / use.rows_per_input * use.terms + t);
      Result* to = row + use.weight_offset + std::max<std::int64_t>(0, word) * use.outputs;
      const auto number = word < 0 ? std::numeric_limits<Result>::quiet_NaN() : factor;
      cpu::add_scaled(number, d, to, use.outputs);
      continue;
    }
    const Row* a = at<Row>(use.input, n / use.rows_per_input * use.terms + t, 0);
    for (std::int64_t o = 0; o < use.outputs; ++o) {
      cpu::add_scaled(factor * static_cast<Result>(d[o]), a,
                      row + use.weight_offset + o * use.inputs, use.inputs);
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
    rhs.as<double>()[n] = root == 0 ? 0 : root * (element(coefficients, n, 1) - origin);
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
    for (const LayerUse& use : rows.blocks) {
      const Range all{0, use.rows};
      for_each_piece<Row, Result>(use, all, scratch.data, n, [&](const auto& piece, auto& own) {
        apply_piece(piece, v.as<Result>(), out + use.first + piece.first, own.product);
      });
    }
    for (std::int64_t i = 0; i < n; ++i) {
      out[i] = scale[i] == 0 ? Result{0} : out[i] * static_cast<Result>(scale[i]);
    }
  });
}

void CpuBackend::adjoint(const RowBatch& rows, const ConstView& y, double b, const View& g,
                         Scratch scratch) {
  cpu::require_blas_sizes(rows);
  const double* scale = rows.scale.as<double>();
  const std::int64_t n = rows.rows();
  b = scale_adjoint(*this, rows, b, g);
  const ElementType type = g.type();
  with_row_types(rows, type, [&]<class Row, class Result>(Row, Result) {
    auto* u = static_cast<Result*>(scratch.data);
    for (std::int64_t i = 0; i < n; ++i) {
      u[i] = static_cast<Result>(scale[i] * static_cast<double>(y.as<Result>()[i]));
    }
    for (const LayerUse& use : rows.blocks) {
      auto beta = static_cast<Result>(b);
      bool added = false;
      for_each_run<Row>(use, scale + use.first, [&](Range run) {
        const auto add = [&](const auto& piece, const auto& own) {
          const std::int64_t first = use.first + piece.first;
          adjoint_piece(piece, scale + first, own.rhs + first, beta, g.as<Result>(), own.product);
          beta = 1;
          added = true;
        };
        for_each_piece<Row, Result>(use, run, scratch.data, n, add);
      });
      if (!added && beta != 1) scale_parameters(use, beta, g.as<Result>());
    }
  });
}

void CpuBackend::materialize(const RowBatch& rows, std::int64_t first, const View& out) {
  const double* scale = rows.scale.as<double>();
  const ElementType type = out.type();
  with_row_types(rows, type, [&]<class Row, class Result>(Row, Result) {
    cpu::parallel_blocks(out.rows(), cpu::row_grain(out.columns()),
                         [&](std::int64_t begin, std::int64_t end) {
                           for (std::int64_t i = begin; i < end; ++i) {
                             Result* row = at<Result>(out, i, 0);
                             std::fill_n(row, out.columns(), Result{0});
                             const std::int64_t n = first + i;
                             if (scale[n] == 0) continue;
                             for (const LayerUse& use : rows.blocks) {
                               if (n < use.first || n >= use.first + use.rows) continue;
                               materialize_use<Row, Result>(use, n - use.first, scale[n], row);
                             }
                           }
                         });
  });
}

std::int64_t CpuBackend::rows_scratch(std::span<const LayerUse> uses, std::int64_t rows,
                                      ElementType factors, ElementType result) const {
  return cpu::rows_scratch(uses, rows, factors != result) * size_of(result);
}

/// Fitted on two Zen 3 cores, in float.
RowCosts CpuBackend::row_costs() const {
  return {.pair_overhead = 12, .materializing_overhead = 8, .passes = 32};
}

}  // namespace natgrad
