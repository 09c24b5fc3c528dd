// The launches of K = S S^T on a GPU; backend/row_gram.hpp says what is computed. Of K only the
// lower triangle is touched.

#include "kernels/cuda/gram.hpp"

#include "backend/cuda/cuda_backend.hpp"
#include "backend/cuda/row_pieces.hpp"
#include "backend/row_gram.hpp"
#include "kernels/cuda/matrices.hpp"

#include <algorithm>

namespace natgrad {

namespace {

using cuda::Work;

template <class T>
T* at(const View& K, std::int64_t row, std::int64_t column) {
  return K.as<T>() + row * K.leading_dimension() + column;
}

// Pairwise uses.

/// Two uses that share a parameter, and what is special about the first and the last pair.
struct Pair {
  const LayerUse& left;
  const LayerUse& right;
  bool adds;            // to what K holds
  const double* scale;  // of all rows, where K is complete after this pair; or null
};

/// product (left rows, right rows) = left right^T, summed over all columns, some of which are
/// converted at a time.
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

/// The share of K's rows `down` and columns `across`, which both uses cover.
template <class Row, class Result>
void add_tile(const Work& work, const Pair& pair, Range down, Range across,
              const cuda::TileScratch<Result>& scratch, const View& K) {
  const auto& [left, right, adds, scale] = pair;
  const Range left_rows = within(left, down);
  const Range right_rows = within(right, across);
  kernels::GramTile<Result> tile{
      .K = {at<Result>(K, down.begin, across.begin), down.size(), across.size(),
            K.leading_dimension()},
      .below = down.begin - across.begin,
      .left = cuda::layout_of(left, left_rows),
      .right = cuda::layout_of(right, right_rows),
      .outputs = multiply<Row, Result>(work, left.output_score, output_terms(left, left_rows),
                                       right.output_score, output_terms(right, right_rows), scratch,
                                       scratch.outputs),
      .inputs = {},
      .bias = share_bias(left, right),
      .adds = adds,
      .row_scale = scale == nullptr ? nullptr : scale + down.begin,
      .column_scale = scale == nullptr ? nullptr : scale + across.begin};
  if (share_weight(left, right)) {
    tile.inputs = multiply<Row, Result>(work, left.input, input_terms(left, left_rows), right.input,
                                        input_terms(right, right_rows), scratch, scratch.inputs);
  }
  kernels::add_term_products(work.stream, tile);
}

template <class Row, class Result>
void add_pair(const Work& work, const Pair& pair, const cuda::TileScratch<Result>& scratch,
              const View& K) {
  const LayerUse& left = pair.left;
  const LayerUse& right = pair.right;
  for_each_piece(range_of(left), cuda::tile_height / left.terms, [&](Range down) {
    // Columns to the right of the diagonal are not K's.
    const Range columns = common(range_of(right), {0, down.end});
    for_each_piece(columns, cuda::tile_width / right.terms, [&](Range across) {
      add_tile<Row, Result>(work, pair, down, across, scratch, K);
    });
  });
}

/// K of the pairwise uses, added to what K holds with `adds`, and the rows' scale.
template <class Row, class Result>
void add_pairwise(const Work& work, const RowBatch& rows, bool adds, const View& K,
                  Scratch memory) {
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

// Materialized uses.

template <class Row, class Result>
void materialize_columns(const Work& work, const LayerUse& use, const MaterializedColumns& columns,
                         Result* to) {
  const Range own{0, use.rows};
  kernels::KhatriRaoFactors<Row> factors{
      .layout = cuda::layout_of(use, own),
      .outputs = cuda::part_of<Row>(use.output_score, output_terms(use, own), columns.outputs),
      .inputs = {}};
  const kernels::MaterializedPart<Result> part{
      .scale = nullptr, .adds = columns.uses > 1, .to = to, .leading_dimension = columns.count()};
  if (columns.bias) return kernels::materialize_bias<Row, Result>(work.stream, factors, part);
  factors.inputs = cuda::part_of<Row>(use.input, input_terms(use, own), columns.inputs);
  kernels::materialize_weight<Row, Result>(work.stream, factors, part);
}

/// K += R R^T, R the rows of these columns, in `scratch`.
template <class Row, class Result>
void add_columns(const Work& work, const RowBatch& rows, const MaterializedColumns& columns,
                 const View& K, Result* scratch) {
  const Range hull = columns.rows;
  const std::int64_t count = columns.count();
  if (columns.uses > 1) {
    kernels::fill(work.stream, 0, View(scratch, {hull.size(), count}, {.device = K.device()}));
  }
  for (const LayerUse& use : rows.blocks) {
    if (!columns.used_by(use)) continue;
    materialize_columns<Row, Result>(work, use, columns,
                                     scratch + (use.first - hull.begin) * count);
  }
  work.blas.syrk<Result>(Triangle::lower, Transpose::no, hull.size(), count, 1, scratch, count, 1,
                         at<Result>(K, hull.begin, hull.begin), K.leading_dimension(), work.mode);
}

template <class Row, class Result>
void add_materialized(const Work& work, const RowBatch& rows, const View& K, Scratch scratch) {
  for_each_materialized(
      rows, cuda::materialized_columns(rows.rows()), !std::is_same_v<Row, Result>,
      [&](const MaterializedColumns& columns) {
        add_columns<Row, Result>(work, rows, columns, K, static_cast<Result*>(scratch.data));
      },
      [&](const LayerUse& use) {
        const ConstView& d = use.output_score;
        work.blas.syrk<Result>(Triangle::lower, Transpose::no, use.rows, use.outputs, 1,
                               d.as<Result>(), d.leading_dimension() * use.terms, 1,
                               at<Result>(K, use.first, use.first), K.leading_dimension(),
                               work.mode);
      });
}

}  // namespace

void CudaBackend::gram(const RowBatch& rows, const View& K, Scratch scratch) {
  const auto current = guard();
  const Work work{stream_->get(), blas_, rows.mode};
  const bool materialized = any_materialized(rows);
  if (materialized) kernels::scale_triangle(stream_->get(), true, 0, K);
  with_row_types(rows, K.type(), [&]<class Row, class Result>(Row, Result) {
    if (materialized) add_materialized<Row, Result>(work, rows, K, scratch);
    add_pairwise<Row, Result>(work, rows, materialized, K, scratch);
  });
}

}  // namespace natgrad
