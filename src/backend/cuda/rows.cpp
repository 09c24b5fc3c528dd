// The launches of products with rows of S that are sums of outer products, and of rows written out.
// Of S only the factors A and D of each use of a layer exist.

#include "kernels/cuda/rows.hpp"

#include "backend/cuda/cuda_backend.hpp"
#include "backend/cuda/row_pieces.hpp"
#include "kernels/cuda/row_products.hpp"

#include <cstdint>
#include <type_traits>

namespace natgrad {

namespace {

using cuda::Work;
using kernels::Matrix;

/// A V^T of some rows, in scratch.
template <class Row, class Result>
Matrix<const Result> multiply_inputs(const Work& work, const LayerUse& use, Range own,
                                     const Result* weight, Result* product, Result* buffer) {
  const auto a = cuda::converted<Row, Result>(work.stream, use.input, input_terms(use, own),
                                              {0, use.inputs}, buffer);
  work.blas.gemm<Result>(Transpose::no, Transpose::yes, a.rows, use.outputs, use.inputs, 1, a.data,
                         a.leading_dimension, weight, use.inputs, 0, product, use.outputs,
                         work.mode);
  return {product, a.rows, use.outputs, use.outputs};
}

/// The same of a lookup: the rows of V that its terms read.
template <class Row, class Result>
Matrix<const Result> look_up(const Work& work, const LayerUse& use, Range own, const Result* weight,
                             Result* product) {
  const std::int64_t terms = input_terms(use, own).size();
  kernels::look_up<Row, Result>(work.stream, cuda::lookup_of<Row>(use, own), weight,
                                {product, terms, use.outputs, use.outputs});
  return {product, terms, use.outputs, use.outputs};
}

/// E and A of some rows, and what of A is copied.
template <class Row, class Result>
struct WeighedInputs {
  const kernels::KhatriRaoFactors<Row>& factors;
  const Result* weighed;  // E (rows / R T, d_out)
  const double* scale;    // of the rows
  bool weighted;          // it may be 0
  std::int64_t copied;    // rows of A at a time
  Result* buffer;         // for these
};

/// g = E^T A + beta g of some rows.
template <class Row, class Result>
void multiply_weighed(const Work& work, const WeighedInputs<Row, Result>& operands, Result beta,
                      Result* g) {
  const std::int64_t outputs = operands.factors.outputs.columns;
  const Matrix<const Row>& all = operands.factors.inputs;
  const auto add = [&](Range rows, const Matrix<const Result>& a) {
    work.blas.gemm<Result>(Transpose::yes, Transpose::no, outputs, a.columns, a.rows, 1,
                           operands.weighed + rows.begin * outputs, outputs, a.data,
                           a.leading_dimension, rows.begin == 0 ? beta : Result{1}, g, a.columns,
                           work.mode);
  };
  if constexpr (std::is_same_v<Row, Result>) {
    if (!operands.weighted) return add({0, all.rows}, all);
  }
  for_each_piece({0, all.rows}, operands.copied, [&](Range rows) {
    const Matrix<Result> copy{operands.buffer, rows.size(), all.columns, all.columns};
    kernels::copy_inputs(work.stream, operands.factors, rows.begin, operands.scale, copy);
    add(rows, {copy.data, copy.rows, copy.columns, copy.leading_dimension});
  });
}

template <class Row, class Result>
void materialize_use(kernels::Stream stream, const LayerUse& use, Range rows, const double* scale,
                     bool adds, const View& out) {
  const Range own = common(rows, range_of(use));
  if (own.empty()) return;
  const auto factors = cuda::factors_of<Row>(use, {own.begin - use.first, own.end - use.first});
  kernels::MaterializedPart<Result> part{
      .scale = scale + own.begin,
      .adds = adds,
      .to = out.as<Result>() + (own.begin - rows.begin) * out.leading_dimension(),
      .leading_dimension = out.leading_dimension()};
  Result* row = part.to;
  if (use.bias_offset >= 0) {
    part.to = row + use.bias_offset;
    kernels::materialize_bias<Row, Result>(stream, factors, part);
  }
  if (use.lookup) {
    part.to = row + use.weight_offset;
    kernels::materialize_lookup<Row, Result>(
        stream, cuda::lookup_of<Row>(use, {own.begin - use.first, own.end - use.first}),
        {.words = use.inputs, .columns = use.outputs}, part);
  } else if (use.weight_offset >= 0) {
    part.to = row + use.weight_offset;
    kernels::materialize_weight<Row, Result>(stream, factors, part);
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
  const auto covers_all = [&](const LayerUse& use) { return covers(use, {0, rows.rows()}); };
  // Where every row is in the first use and in the last, these write and scale.
  const bool writes = !rows.blocks.empty() && covers_all(rows.blocks.front());
  const bool scales = !rows.blocks.empty() && covers_all(rows.blocks.back());
  if (!writes) fill(0, z);
  const double* scale = rows.scale.as<double>();
  const Work work{stream_->get(), blas_, rows.mode};
  with_row_types(rows, z.type(), [&]<class Row, class Result>(Row, Result) {
    const Result* parameters = v.as<Result>();
    for (const LayerUse& use : rows.blocks) {
      const bool weight = use.weight_offset >= 0;
      const cuda::ProductPieces pieces(use, !std::is_same_v<Row, Result>);
      auto* product = static_cast<Result*>(scratch.data);
      for_each_piece({0, use.rows}, weight ? pieces.rows : use.rows, [&](Range own) {
        const std::int64_t first = use.first + own.begin;
        kernels::ApplyOperands<Result> products{
            .inputs = {},
            .bias = use.bias_offset >= 0 ? parameters + use.bias_offset : nullptr,
            .scale = scales && &use == &rows.blocks.back() ? scale + first : nullptr,
            .adds = !writes || &use != &rows.blocks.front(),
            .z = z.as<Result>() + first};
        if (use.lookup) {
          products.inputs =
              look_up<Row, Result>(work, use, own, parameters + use.weight_offset, product);
        } else if (weight) {
          products.inputs = multiply_inputs<Row, Result>(
              work, use, own, parameters + use.weight_offset, product, product + pieces.product);
        }
        kernels::add_products<Row, Result>(stream_->get(), cuda::factors_of<Row>(use, own),
                                           products);
      });
    }
    if (!scales) kernels::scale_vector(stream_->get(), scale, rows.rows(), z.as<Result>());
  });
}

void CudaBackend::adjoint(const RowBatch& rows, const ConstView& y, double b, const View& g,
                          Scratch scratch) {
  const auto current = guard();
  b = scale_adjoint(*this, rows, b, g);
  const double* scale = rows.scale.as<double>();
  const Work work{stream_->get(), blas_, rows.mode};
  with_row_types(rows, g.type(), [&]<class Row, class Result>(Row, Result) {
    auto* const memory = static_cast<Result*>(scratch.data);
    Result* const parameters = g.as<Result>();
    for (const LayerUse& use : rows.blocks) {
      const bool weight = use.weight_offset >= 0;
      const cuda::ProductPieces pieces(use, !std::is_same_v<Row, Result>);
      Result* const buffer = memory + pieces.product;
      for_each_piece({0, use.rows}, weight ? pieces.rows : use.rows, [&](Range own) {
        const std::int64_t first = use.first + own.begin;
        const auto beta = own.begin == 0 ? static_cast<Result>(b) : Result{1};
        kernels::WeighedOutputs<Result> to{.weighed = weight ? memory : nullptr,
                                           .bias = nullptr,
                                           .beta = beta,
                                           .partials = buffer + pieces.inputs};
        if (use.bias_offset >= 0) to.bias = parameters + use.bias_offset;
        const auto factors = cuda::factors_of<Row>(use, own);
        kernels::weigh_outputs<Row, Result>(stream_->get(), factors,
                                            {scale + first, y.as<Result>() + first}, to);
        if (use.lookup) {
          return kernels::scatter<Row, Result>(
              stream_->get(), cuda::lookup_of<Row>(use, own), scale + first, memory,
              reinterpret_cast<std::int32_t*>(buffer), parameters + use.weight_offset);
        }
        if (!weight) return;
        multiply_weighed<Row, Result>(work,
                                      {.factors = factors,
                                       .weighed = memory,
                                       .scale = scale + first,
                                       .weighted = rows.weighted,
                                       .copied = pieces.copied,
                                       .buffer = buffer},
                                      beta, parameters + use.weight_offset);
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
    for (const LayerUse& use : rows.blocks) {
      materialize_use<Row, Result>(stream_->get(), use, range, rows.scale.as<double>(), adds, out);
    }
  });
}

std::int64_t CudaBackend::rows_scratch(std::span<const LayerUse> uses, std::int64_t rows,
                                       ElementType factors, ElementType result) const {
  return cuda::rows_scratch(uses, rows, factors != result, gram_rule(result)) * size_of(result);
}

/// Estimates for an H100 or H200 in strict float, until one is measured: 26e12 multiply-adds a
/// second, and 4.3 TB/s of memory or some 8 TB/s of cache, so that to read or write a float costs
/// as much as 24 multiply-adds in memory and 12 in cache. A pair of terms stores and reads two
/// products in cache and K in memory; a materialized number is stored in memory and read again; an
/// entry of K is read and written once for at most 4096 columns. Products on tensor cores
/// (`GramRule`) take less time than these multiply-adds, so that beside them an overhead weighs
/// more than it says here. Which products go there depends on the choice that these numbers are
/// for, and both ways gain there; near the boundary, where they differ little, the slower one may
/// be taken.
RowCosts CudaBackend::row_costs() const {
  return {.pair_overhead = 4 * 12 + 2 * 24, .materializing_overhead = 2 * 24, .passes = 2 * 24};
}

}  // namespace natgrad
