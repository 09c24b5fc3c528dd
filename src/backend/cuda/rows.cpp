// Products and materialization of rows that are sums of outer products: of S only the factors A and
// D of each block exist.

#include "kernels/cuda/rows.hpp"

#include "backend/cuda/cuda_backend.hpp"
#include "backend/cuda/row_pieces.hpp"

#include <algorithm>

namespace natgrad {

namespace {

using cuda::Work;
using kernels::Matrix;

/// A V^T of some rows, in scratch.
template <class Row, class Result>
Matrix<const Result> multiply_inputs(const Work& work, const LayerUse& block, Range own,
                                     const Result* weight, Result* product, Result* buffer) {
  const auto a = cuda::converted<Row, Result>(
      work.stream, block.input, cuda::input_terms(block, own), {0, block.inputs}, buffer);
  work.blas.gemm<Result>(Transpose::no, Transpose::yes, a.rows, block.outputs, block.inputs, 1,
                         a.data, a.leading_dimension, weight, block.inputs, 0, product,
                         block.outputs, work.mode);
  return {product, a.rows, block.outputs, block.outputs};
}

/// g = E^T A + beta g of some rows.
template <class Row, class Result>
void adjoint_weight(const Work& work, const LayerUse& block, Range own,
                    const kernels::RowWeights<Result>& u, Result beta, Result* g, Result* product,
                    Result* buffer) {
  kernels::weigh_outputs<Row, Result>(work.stream, cuda::factors_of<Row>(block, own), u, product);
  const auto a = cuda::converted<Row, Result>(
      work.stream, block.input, cuda::input_terms(block, own), {0, block.inputs}, buffer);
  work.blas.gemm<Result>(Transpose::yes, Transpose::no, block.outputs, block.inputs, a.rows, 1,
                         product, block.outputs, a.data, a.leading_dimension, beta, g, block.inputs,
                         work.mode);
}

template <class Row, class Result>
void materialize_block(kernels::Stream stream, const LayerUse& block, Range rows,
                       const double* scale, bool adds, const View& out) {
  const Range own = common(rows, range_of(block));
  if (own.empty()) return;
  const auto factors =
      cuda::factors_of<Row>(block, {own.begin - block.first, own.end - block.first});
  kernels::FormedPart<Result> part{
      .scale = scale + own.begin,
      .adds = adds,
      .to = out.as<Result>() + (own.begin - rows.begin) * out.leading_dimension(),
      .leading_dimension = out.leading_dimension()};
  Result* row = part.to;
  if (block.bias_offset >= 0) {
    part.to = row + block.bias_offset;
    kernels::form_bias<Row, Result>(stream, factors, part);
  }
  if (block.weight_offset >= 0) {
    part.to = row + block.weight_offset;
    kernels::form_weight<Row, Result>(stream, factors, part);
  }
}

}  // namespace

void CudaBackend::row_scaling(const ConstView& weights, double uniform,
                              const ConstView& coefficients, Scalar reference, double factor,
                              const View& scale, const View& rhs) {
  const auto current = guard();
  kernels::row_scaling(stream_->get(), weights, uniform, coefficients, cuda::scalar_of(reference),
                       factor, scale, rhs);
}

void CudaBackend::apply(const RowBatch& rows, const ConstView& v, const View& z, Scratch scratch) {
  const auto current = guard();
  const auto covers_all = [&](const LayerUse& block) { return covers(block, {0, rows.rows()}); };
  // Where every row is in the first block and in the last, these write and scale.
  const bool writes = !rows.blocks.empty() && covers_all(rows.blocks.front());
  const bool scales = !rows.blocks.empty() && covers_all(rows.blocks.back());
  if (!writes) fill(0, z);
  const double* scale = rows.scale.as<double>();
  const Work work{stream_->get(), blas_, rows.mode};
  with_row_types(rows, z.type(), [&]<class Row, class Result>(Row, Result) {
    const Result* parameters = v.as<Result>();
    for (const LayerUse& block : rows.blocks) {
      const bool weight = block.weight_offset >= 0;
      const cuda::ProductPieces pieces(block, !std::is_same_v<Row, Result>);
      auto* product = static_cast<Result*>(scratch.data);
      cuda::for_each_piece(block, weight ? pieces.rows : block.rows, [&](Range own) {
        const std::int64_t first = block.first + own.begin;
        kernels::RowProducts<Result> products{
            .inputs = {},
            .bias = block.bias_offset >= 0 ? parameters + block.bias_offset : nullptr,
            .scale = scales && &block == &rows.blocks.back() ? scale + first : nullptr,
            .adds = !writes || &block != &rows.blocks.front(),
            .z = z.as<Result>() + first};
        if (weight) {
          products.inputs =
              multiply_inputs<Row, Result>(work, block, own, parameters + block.weight_offset,
                                           product, product + pieces.product);
        }
        kernels::add_row_products<Row, Result>(stream_->get(), cuda::factors_of<Row>(block, own),
                                               products);
      });
    }
    if (!scales) kernels::scale_rows(stream_->get(), scale, rows.rows(), z.as<Result>());
  });
}

void CudaBackend::adjoint(const RowBatch& rows, const ConstView& y, double b, const View& g,
                          Scratch scratch) {
  const auto current = guard();
  if (!write_once(rows.blocks, {0, rows.rows()}, g.size())) {
    if (b == 0)
      fill(0, g);
    else if (b != 1)
      axpby(0.0, g, b, g);
    b = 1;
  }
  const double* scale = rows.scale.as<double>();
  const Work work{stream_->get(), blas_, rows.mode};
  with_row_types(rows, g.type(), [&]<class Row, class Result>(Row, Result) {
    const auto beta = static_cast<Result>(b);
    auto* product = static_cast<Result*>(scratch.data);
    for (const LayerUse& block : rows.blocks) {
      const auto weights = [&](std::int64_t own) {
        const std::int64_t n = block.first + own;
        return kernels::RowWeights<Result>{scale + n, y.as<Result>() + n};
      };
      if (block.bias_offset >= 0) {
        kernels::adjoint_bias<Row, Result>(stream_->get(),
                                           cuda::factors_of<Row>(block, {0, block.rows}),
                                           weights(0), beta, g.as<Result>() + block.bias_offset);
      }
      if (block.weight_offset < 0) continue;
      const cuda::ProductPieces pieces(block, !std::is_same_v<Row, Result>);
      cuda::for_each_piece(block, pieces.rows, [&](Range own) {
        adjoint_weight<Row, Result>(
            work, block, own, weights(own.begin), own.begin == 0 ? beta : Result{1},
            g.as<Result>() + block.weight_offset, product, product + pieces.product);
      });
    }
  });
}

void CudaBackend::materialize(const RowBatch& rows, std::int64_t first, const View& out) {
  const auto current = guard();
  const Range range{first, first + out.rows()};
  if (range.empty()) return;
  const bool adds = !write_once(rows.blocks, range, out.columns());
  if (adds) fill(0, out);
  with_row_types(rows, out.type(), [&]<class Row, class Result>(Row, Result) {
    for (const LayerUse& block : rows.blocks) {
      materialize_block<Row, Result>(stream_->get(), block, range, rows.scale.as<double>(), adds,
                                     out);
    }
  });
}

std::int64_t CudaBackend::rows_scratch(std::span<const LayerUse> blocks, std::int64_t rows,
                                       ElementType factors, ElementType result) const {
  return cuda::rows_scratch(blocks, rows, factors != result) * size_of(result);
}

}  // namespace natgrad
