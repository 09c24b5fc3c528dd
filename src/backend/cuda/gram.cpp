// K = S S^T of rows that are sums of outer products. Blocks are either formed, some columns of
// their part of S at a time, or paired: the products of the factors of every two rows, of which
//
//   K_nm += sum_ts (A_nt . A_ms + bias) (D_nt . D_ms)
//
// over all pairs of blocks that share a parameter, a block and itself among them. Of K only the
// lower triangle is touched.

#include "kernels/cuda/gram.hpp"

#include "backend/cuda/cuda_backend.hpp"
#include "backend/cuda/row_pieces.hpp"
#include "kernels/cuda/matrices.hpp"

#include <algorithm>

namespace natgrad {

namespace {

using cuda::Work;

template <class T>
T* at(const View& K, std::int64_t row, std::int64_t column) {
  return K.as<T>() + row * K.leading_dimension() + column;
}

// Paired blocks.

/// Two blocks that share a parameter, and what is special about the first and the last pair.
struct Pair {
  const LayerUse& left;
  const LayerUse& right;
  bool adds;            // to what K holds
  const double* scale;  // of all rows, where K is complete after this pair; or null
};

/// product (left rows, right rows) = left right^T over all columns, as many as are converted at a
/// time.
template <class Row, class Result>
kernels::Matrix<const Result> multiply(const Work& work, const ConstView& left, Range left_rows,
                                       const ConstView& right, Range right_rows,
                                       const cuda::TileScratch<Result>& scratch, Result* product) {
  constexpr bool converts = !std::is_same_v<Row, Result>;
  const std::int64_t step = converts ? cuda::conversion_columns : left.columns();
  for (std::int64_t first = 0; first < left.columns(); first += step) {
    const Range columns{first, std::min(first + step, left.columns())};
    const auto a =
        cuda::converted<Row, Result>(work.stream, left, left_rows, columns, scratch.left);
    const auto b =
        cuda::converted<Row, Result>(work.stream, right, right_rows, columns, scratch.right);
    work.blas.gemm<Result>(Transpose::no, Transpose::yes, a.rows, b.rows, columns.size(), 1, a.data,
                           a.leading_dimension, b.data, b.leading_dimension,
                           first == 0 ? Result{0} : Result{1}, product, scratch.leading_dimension,
                           work.mode);
  }
  return {product, left_rows.size(), right_rows.size(), scratch.leading_dimension};
}

/// The share of rows `down` of the left block and `across` of the right one, each counted from its
/// block's first.
template <class Row, class Result>
void add_tile(const Work& work, const Pair& pair, Range down, Range across,
              const cuda::TileScratch<Result>& scratch, const View& K) {
  const auto& [left, right, adds, scale] = pair;
  const std::int64_t row = left.first + down.begin;
  const std::int64_t column = right.first + across.begin;
  kernels::GramTile<Result> tile{
      .K = {at<Result>(K, row, column), down.size(), across.size(), K.leading_dimension()},
      .below = row - column,
      .left = cuda::shape_of(left, down),
      .right = cuda::shape_of(right, across),
      .outputs = multiply<Row, Result>(work, left.output_score, cuda::output_terms(left, down),
                                       right.output_score, cuda::output_terms(right, across),
                                       scratch, scratch.outputs),
      .inputs = {},
      .bias = share_bias(left, right),
      .adds = adds,
      .row_scale = scale == nullptr ? nullptr : scale + row,
      .column_scale = scale == nullptr ? nullptr : scale + column};
  if (share_weight(left, right)) {
    tile.inputs =
        multiply<Row, Result>(work, left.input, cuda::input_terms(left, down), right.input,
                              cuda::input_terms(right, across), scratch, scratch.inputs);
  }
  kernels::add_term_products(work.stream, tile);
}

template <class Row, class Result>
void add_pair(const Work& work, const Pair& pair, const cuda::TileScratch<Result>& scratch,
              const View& K) {
  const LayerUse& left = pair.left;
  const LayerUse& right = pair.right;
  cuda::for_each_piece(left, cuda::tile_height / left.terms, [&](Range down) {
    // Columns to the right of the diagonal are not K's.
    const std::int64_t most = std::min(right.rows, left.first + down.end - right.first);
    const std::int64_t width = cuda::tile_width / right.terms;
    for (std::int64_t first = 0; first < most; first += width) {
      add_tile<Row, Result>(work, pair, down, {first, std::min(first + width, most)}, scratch, K);
    }
  });
}

template <class Body>
void for_each_pair(const RowBatch& rows, const Body& body) {
  for (const LayerUse& left : rows.blocks) {
    if (left.formed) continue;
    for (const LayerUse& right : rows.blocks) {
      if (share_weight(left, right) || share_bias(left, right)) body(left, right);
    }
  }
}

/// `adds`: K holds the formed blocks' share.
template <class Row, class Result>
void add_paired(const Work& work, const RowBatch& rows, bool adds, const View& K, Scratch memory) {
  const double* scale = rows.scale.as<double>();
  std::int64_t pairs = 0;
  bool writes = false;  // the first pair
  bool scales = false;  // the last one
  for_each_pair(rows, [&](const LayerUse& left, const LayerUse& right) {
    scales = covers(left, {0, rows.rows()}) && covers(right, {0, rows.rows()});
    if (pairs++ == 0) writes = scales && !adds;
  });
  if (!writes && !adds) kernels::scale_triangle(work.stream, true, 0, K);
  const auto scratch =
      cuda::TileSizes(rows.blocks, !std::is_same_v<Row, Result>).template in<Result>(memory.data);
  std::int64_t pair = 0;
  for_each_pair(rows, [&](const LayerUse& left, const LayerUse& right) {
    const bool first = pair++ == 0;
    add_pair<Row, Result>(work,
                          {.left = left,
                           .right = right,
                           .adds = !(first && writes),
                           .scale = scales && pair == pairs ? scale : nullptr},
                          scratch, K);
  });
  if (scales) return;
  kernels::scale_lower<Result>(work.stream, scale,
                               {K.as<Result>(), K.rows(), K.columns(), K.leading_dimension()});
}

// Formed blocks.

/// Some columns of S: outputs and inputs of a weight, or outputs of a bias, for which `inputs` is
/// one.
struct Columns {
  std::int64_t offset;
  bool bias;
  Range outputs;
  Range inputs;
  std::int64_t count() const { return outputs.size() * inputs.size(); }
};

bool uses(const LayerUse& block, const Columns& columns) {
  return (columns.bias ? block.bias_offset : block.weight_offset) == columns.offset;
}

template <class Row, class Result>
void form_columns(const Work& work, const LayerUse& block, const Columns& columns, bool adds,
                  Result* to) {
  const Range own{0, block.rows};
  kernels::RowFactors<Row> factors{
      .shape = cuda::shape_of(block, own),
      .outputs =
          cuda::part_of<Row>(block.output_score, cuda::output_terms(block, own), columns.outputs),
      .inputs = {}};
  const kernels::FormedPart<Result> part{
      .scale = nullptr, .adds = adds, .to = to, .leading_dimension = columns.count()};
  if (columns.bias) return kernels::form_bias<Row, Result>(work.stream, factors, part);
  factors.inputs = cuda::part_of<Row>(block.input, cuda::input_terms(block, own), columns.inputs);
  kernels::form_weight<Row, Result>(work.stream, factors, part);
}

/// K += R R^T, R the rows of these columns.
template <class Row, class Result>
void add_columns(const Work& work, const RowBatch& rows, const Columns& columns, const View& K,
                 Result* formed) {
  Range hull{rows.rows(), 0};
  std::int64_t users = 0;
  for (const LayerUse& block : rows.blocks) {
    if (!uses(block, columns) || block.rows == 0) continue;
    hull = {std::min(hull.begin, block.first), std::max(hull.end, block.first + block.rows)};
    ++users;
  }
  if (hull.empty()) return;
  const std::int64_t count = columns.count();
  if (users > 1) {
    kernels::fill(work.stream, 0, View(formed, {hull.size(), count}, {.device = K.device()}));
  }
  for (const LayerUse& block : rows.blocks) {
    if (!uses(block, columns) || block.rows == 0) continue;
    form_columns<Row, Result>(work, block, columns, users > 1,
                              formed + (block.first - hull.begin) * count);
  }
  work.blas.syrk<Result>(Triangle::lower, Transpose::no, hull.size(), count, 1, formed, count, 1,
                         at<Result>(K, hull.begin, hull.begin), K.leading_dimension(), work.mode);
}

template <class Row, class Result>
void add_formed_weight(const Work& work, const RowBatch& rows, const LayerUse& block, const View& K,
                       Result* formed) {
  const std::int64_t most = cuda::formed_columns(rows.rows());
  const std::int64_t inputs = std::min(block.inputs, most);
  const std::int64_t outputs = most / inputs;
  for (std::int64_t o = 0; o < block.outputs; o += outputs) {
    for (std::int64_t i = 0; i < block.inputs; i += inputs) {
      add_columns<Row, Result>(work, rows,
                               {.offset = block.weight_offset,
                                .bias = false,
                                .outputs = {o, std::min(o + outputs, block.outputs)},
                                .inputs = {i, std::min(i + inputs, block.inputs)}},
                               K, formed);
    }
  }
}

template <class Row, class Result>
void add_formed_bias(const Work& work, const RowBatch& rows, const LayerUse& block, const View& K,
                     Result* formed) {
  if constexpr (std::is_same_v<Row, Result>) {
    // The rows as they are.
    if ((block.terms == 1 || block.bias_first_term) && is_alone(rows, block)) {
      return work.blas.syrk<Result>(
          Triangle::lower, Transpose::no, block.rows, block.outputs, 1,
          block.output_score.as<Row>(), block.output_score.leading_dimension() * block.terms, 1,
          at<Result>(K, block.first, block.first), K.leading_dimension(), work.mode);
    }
  }
  const std::int64_t outputs = cuda::formed_columns(rows.rows());
  for (std::int64_t o = 0; o < block.outputs; o += outputs) {
    add_columns<Row, Result>(work, rows,
                             {.offset = block.bias_offset,
                              .bias = true,
                              .outputs = {o, std::min(o + outputs, block.outputs)},
                              .inputs = {0, 1}},
                             K, formed);
  }
}

}  // namespace

void CudaBackend::gram(const RowBatch& rows, const View& K, Scratch scratch) {
  const auto current = guard();
  const Work work{stream_->get(), blas_, rows.mode};
  const auto is_formed = [](const LayerUse& block) { return block.formed; };
  const bool formed = std::any_of(rows.blocks.begin(), rows.blocks.end(), is_formed);
  if (formed) kernels::scale_triangle(stream_->get(), true, 0, K);
  with_row_types(rows, K.type(), [&]<class Row, class Result>(Row, Result) {
    auto* memory = static_cast<Result*>(scratch.data);
    for (const LayerUse& block : rows.blocks) {
      if (!block.formed) continue;
      if (block.weight_offset >= 0 && !is_repeated(rows, block, false)) {
        add_formed_weight<Row, Result>(work, rows, block, K, memory);
      }
      if (block.bias_offset >= 0 && !is_repeated(rows, block, true)) {
        add_formed_bias<Row, Result>(work, rows, block, K, memory);
      }
    }
    add_paired<Row, Result>(work, rows, formed, K, scratch);
  });
}

}  // namespace natgrad
