// The launches of K = S S^T on a GPU; backend/row_gram.hpp says what is computed. Of K only the
// lower triangle is touched.

#include "kernels/cuda/gram.hpp"

#include "backend/cuda/cuda_backend.hpp"
#include "backend/cuda/row_pieces.hpp"
#include "backend/cuda/triangle_products.hpp"
#include "backend/row_gram.hpp"
#include "kernels/cuda/arrays.hpp"
#include "kernels/cuda/matrix_elements.hpp"

#include <algorithm>
#include <array>
#include <type_traits>

namespace natgrad {

namespace {

using cuda::Needed;
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

/// How a Gram is computed, and where.
template <class Result>
struct Tiles {
  const Work& work;
  const cuda::GramRule& rule;
  cuda::TileScratch<Result> scratch;
};

/// left right^T (left rows, right rows), of some rows of two factors.
template <class Result>
struct TermProduct {
  const ConstView& left;
  Range left_rows;
  const ConstView& right;
  Range right_rows;
  const Needed& needed;
  const cuda::ProductScratch<Result>& to;
};

/// What some columns of the factors add to it. They are converted where types differ.
template <class Row, class Result>
cuda::TriangleProduct<Result> triangle_product(const Tiles<Result>& tiles,
                                               const TermProduct<Result>& product, Range columns) {
  const cuda::TileScratch<Result>& scratch = tiles.scratch;
  const auto part = [&](const ConstView& factor, Range rows, Result* buffer) {
    return cuda::converted<Row, Result>(tiles.work.stream, factor, rows, columns, buffer);
  };
  return {.left = part(product.left, product.left_rows, scratch.left),
          .right = part(product.right, product.right_rows, scratch.right),
          .to = product.to,
          .leading_dimension = scratch.leading_dimension,
          .needed = product.needed};
}

/// Results of float alone go through tensor cores, and their factors are of float, too.
template <class Row, class Result>
constexpr bool is_single = std::is_same_v<Row, float>&& std::is_same_v<Result, float>;

template <class Result>
bool takes(const cuda::GramRule& rule, const TermProduct<Result>& product) {
  const std::int64_t columns = product.left.columns();
  return columns <= rule.most_factor_columns &&
         rule.takes(product.left_rows.size(), product.right_rows.size(), columns);
}

template <class Row, class Result>
kernels::FactorProduct<Result> multiply(const Tiles<Result>& tiles,
                                        const TermProduct<Result>& product) {
  const Work& work = tiles.work;
  const Range all{0, product.left.columns()};
  if constexpr (is_single<Row, Result>) {
    if (takes(tiles.rule, product)) {
      return cuda::multiply_on_tensor_cores(work, tiles.rule,
                                            triangle_product<Row, Result>(tiles, product, all),
                                            tiles.scratch.addresses);
    }
  }
  const std::int64_t step = std::is_same_v<Row, Result> ? all.end : cuda::conversion_columns;
  for_each_piece(all, step, [&](Range columns) {
    cuda::multiply_rows<Result>(work, triangle_product<Row, Result>(tiles, product, columns),
                                columns.begin == 0 ? Result{0} : Result{1}, work.mode);
  });
  return {{product.to.numbers, product.left_rows.size(), product.right_rows.size(),
           tiles.scratch.leading_dimension}};
}

/// The products of a tile whose uses share a weight: at once where the same is needed of both, and
/// both are split.
template <class Row, class Result>
void multiply_both(const Tiles<Result>& tiles, const TermProduct<Result>& outputs,
                   const TermProduct<Result>& inputs, kernels::GramTile<Result>& tile) {
  const auto& [work, rule, scratch] = tiles;
  if constexpr (is_single<Row, Result>) {
    if (work.mode == MathMode::strict && cuda::has_one_term(tile.left) &&
        cuda::has_one_term(tile.right) && takes(rule, outputs) && takes(rule, inputs)) {
      const std::array products{
          triangle_product<Row, Result>(tiles, outputs, {0, outputs.left.columns()}),
          triangle_product<Row, Result>(tiles, inputs, {0, inputs.left.columns()})};
      const auto results = cuda::multiply_on_tensor_cores(work, rule, products, scratch.addresses);
      tile.outputs = results[0];
      tile.inputs = results[1];
      return;
    }
  }
  tile.outputs = multiply<Row, Result>(tiles, outputs);
  tile.inputs = multiply<Row, Result>(tiles, inputs);
}

/// Columns of K up to the diagonal in this row of a tile.
template <class Result>
std::int64_t lower_columns(const kernels::GramTile<Result>& tile, std::int64_t row) {
  return std::clamp<std::int64_t>(row + tile.below + 1, 0, tile.K.columns);
}

/// The share of K's rows `down` and columns `across`, which both uses cover.
template <class Row, class Result>
void add_tile(const Tiles<Result>& tiles, const Pair& pair, Range down, Range across,
              const View& K) {
  const auto& [left, right, adds, scale] = pair;
  const Range left_rows = within(left, down);
  const Range right_rows = within(right, across);
  kernels::GramTile<Result> tile{.K = {at<Result>(K, down.begin, across.begin), down.size(),
                                       across.size(), K.leading_dimension()},
                                 .below = down.begin - across.begin,
                                 .left = cuda::layout_of(left, left_rows),
                                 .right = cuda::layout_of(right, right_rows),
                                 .outputs = {},
                                 .inputs = {},
                                 .bias = share_bias(left, right),
                                 .adds = adds,
                                 .row_scale = scale == nullptr ? nullptr : scale + down.begin,
                                 .column_scale = scale == nullptr ? nullptr : scale + across.begin};
  const Needed needed_outputs = [&](std::int64_t term) {
    return lower_columns(tile, term / tile.left.terms) * tile.right.terms;
  };
  const TermProduct<Result> outputs{left.output_score,  output_terms(left, left_rows),
                                    right.output_score, output_terms(right, right_rows),
                                    needed_outputs,     tiles.scratch.outputs};
  if (share_weight(left, right)) {
    const Needed needed_inputs = [&](std::int64_t term) {
      // What the last row of this term's input needs.
      const std::int64_t rows = (term / tile.left.terms + 1) * tile.left.rows_per_input;
      const std::int64_t last = std::min(rows - tile.left.skipped, tile.left.rows) - 1;
      const std::int64_t columns = lower_columns(tile, last);
      return columns == 0 ? 0 : (tile.right.input(columns - 1) + 1) * tile.right.terms;
    };
    multiply_both<Row, Result>(
        tiles, outputs,
        {left.input, input_terms(left, left_rows), right.input, input_terms(right, right_rows),
         needed_inputs, tiles.scratch.inputs},
        tile);
  } else {
    tile.outputs = multiply<Row, Result>(tiles, outputs);
  }
  kernels::add_term_products(tiles.work.stream, tile);
}

template <class Row, class Result>
void add_pair(const Tiles<Result>& tiles, const Pair& pair, const View& K) {
  const LayerUse& left = pair.left;
  const LayerUse& right = pair.right;
  for_each_piece(range_of(left), tiles.rule.tile_height / left.terms, [&](Range down) {
    // Columns to the right of the diagonal are not K's.
    const Range columns = common(range_of(right), {0, down.end});
    for_each_piece(columns, tiles.rule.tile_width / right.terms,
                   [&](Range across) { add_tile<Row, Result>(tiles, pair, down, across, K); });
  });
}

/// The share of two lookups of one weight, all rows at once.
template <class Row, class Result>
void add_lookups(kernels::Stream stream, const Pair& pair, const View& K) {
  const LayerUse& left = pair.left;
  const LayerUse& right = pair.right;
  const auto scale_from = [&](const LayerUse& use) {
    return pair.scale == nullptr ? nullptr : pair.scale + use.first;
  };
  kernels::add_lookups<Row, Result>(stream, {.K = {at<Result>(K, left.first, right.first),
                                                   left.rows, right.rows, K.leading_dimension()},
                                             .below = left.first - right.first,
                                             .left = cuda::lookup_of<Row>(left, {0, left.rows}),
                                             .right = cuda::lookup_of<Row>(right, {0, right.rows}),
                                             .adds = pair.adds,
                                             .row_scale = scale_from(left),
                                             .column_scale = scale_from(right)});
}

/// K of the pairwise uses, added to what K holds with `adds`, and the rows' scale.
template <class Row, class Result>
void add_pairwise(const Tiles<Result>& tiles, const RowBatch& rows, bool adds, const View& K) {
  const kernels::Stream stream = tiles.work.stream;
  const double* scale = rows.scale.as<double>();
  std::int64_t pairs = 0;
  bool writes = false;  // the first pair
  bool scales = false;  // the last one
  for_each_pair(rows, [&](const LayerUse& left, const LayerUse& right) {
    scales = covers(left, {0, rows.rows()}) && covers(right, {0, rows.rows()});
    if (pairs++ == 0) writes = scales && !adds;
  });
  if (!writes && !adds) kernels::scale_triangle(stream, true, 0, K);
  std::int64_t pair = 0;
  for_each_pair(rows, [&](const LayerUse& left, const LayerUse& right) {
    const bool first = pair++ == 0;
    const Pair both{.left = left,
                    .right = right,
                    .adds = !(first && writes),
                    .scale = scales && pair == pairs ? scale : nullptr};
    if (left.lookup) return add_lookups<Row, Result>(stream, both, K);
    add_pair<Row, Result>(tiles, both, K);
  });
  if (scales) return;
  kernels::scale_lower<Result>(stream, scale,
                               {K.as<Result>(), K.rows(), K.columns(), K.leading_dimension()});
}

// Materialized uses.

template <class Row, class Result>
void materialize_columns(const Work& work, const LayerUse& use, const MaterializedColumns& columns,
                         Result* to) {
  const Range own{0, use.rows};
  kernels::KhatriRaoFactors<Row> factors{
      .layout = cuda::layout_of(use, own), .outputs = {}, .inputs = {}};
  if (!use.lookup) {
    factors.outputs =
        cuda::factor_part<Row>(use.output_score, output_terms(use, own), columns.outputs);
  }
  const kernels::MaterializedPart<Result> part{
      .scale = nullptr, .adds = columns.uses > 1, .to = to, .leading_dimension = columns.count()};
  if (columns.bias) return kernels::materialize_bias<Row, Result>(work.stream, factors, part);
  if (use.lookup) {
    return kernels::materialize_lookup<Row, Result>(work.stream, cuda::lookup_of<Row>(use, own),
                                                    {columns.outputs.begin, columns.outputs.size(),
                                                     columns.inputs.begin, columns.inputs.size()},
                                                    part);
  }
  factors.inputs = cuda::factor_part<Row>(use.input, input_terms(use, own), columns.inputs);
  kernels::materialize_weight<Row, Result>(work.stream, factors, part);
}

/// K += R R^T for these rows of K. Tensor cores cut the sums that they add to, so that long ones
/// would lose digits: columns go by pieces, which are added to K with rounding.
template <class Result>
void add_square(const Tiles<Result>& tiles, Range rows, const kernels::Matrix<const Result>& R,
                const View& K) {
  const Work& work = tiles.work;
  if (!tiles.rule.takes(R.rows, R.rows, R.columns)) {
    work.blas.syrk<Result>(Triangle::lower, Transpose::no, R.rows, R.columns, 1, R.data,
                           R.leading_dimension, 1, at<Result>(K, rows.begin, rows.begin),
                           K.leading_dimension(), work.mode);
    return;
  }
  for_each_piece({0, R.columns}, tiles.rule.most_columns, [&](Range columns) {
    // As a bias of which R are the scores.
    const LayerUse use{.first = rows.begin,
                       .rows = R.rows,
                       .outputs = columns.size(),
                       .bias_offset = 0,
                       .output_score = ConstView(
                           R.data + columns.begin, {R.rows, columns.size()},
                           {.leading_dimension = R.leading_dimension, .device = K.device()})};
    add_pair<Result, Result>(tiles, {.left = use, .right = use, .adds = true, .scale = nullptr}, K);
  });
}

/// K += R R^T, R the rows of these columns, in `memory`.
template <class Row, class Result>
void add_columns(const Tiles<Result>& tiles, const RowBatch& rows,
                 const MaterializedColumns& columns, const View& K, Result* memory) {
  const Work& work = tiles.work;
  const Range hull = columns.rows;
  const std::int64_t count = columns.count();
  if (columns.uses > 1) {
    kernels::fill(work.stream, 0, View(memory, {hull.size(), count}, {.device = K.device()}));
  }
  for (const LayerUse& use : rows.blocks) {
    if (!columns.used_by(use)) continue;
    materialize_columns<Row, Result>(work, use, columns, memory + (use.first - hull.begin) * count);
  }
  add_square<Result>(tiles, hull, {memory, hull.size(), count, count}, K);
}

template <class Row, class Result>
void add_materialized(const Tiles<Result>& tiles, const RowBatch& rows, const View& K,
                      Result* memory) {
  for_each_materialized(
      rows, cuda::materialized_columns(rows.rows()), !std::is_same_v<Row, Result>,
      [&](const MaterializedColumns& columns) {
        add_columns<Row, Result>(tiles, rows, columns, K, memory);
      },
      [&](const LayerUse& use) {
        const ConstView& d = use.output_score;
        add_square<Result>(
            tiles, range_of(use),
            {d.as<Result>(), use.rows, use.outputs, d.leading_dimension() * use.terms}, K);
      });
}

}  // namespace

cuda::GramRule CudaBackend::gram_rule(ElementType result) const {
  cuda::GramRule rule = gram_rule_;
  rule.tensor_cores = rule.tensor_cores && has_tensor_cores_ && result == ElementType::float32;
  return rule;
}

void CudaBackend::gram(const RowBatch& rows, const View& K, Scratch scratch) {
  const auto current = guard();
  const Work work{stream_->get(), blas_, rows.mode};
  const cuda::GramRule rule = gram_rule(K.type());
  const bool materialized = any_materialized(rows);
  if (materialized) kernels::scale_triangle(stream_->get(), true, 0, K);
  with_row_types(rows, K.type(), [&]<class Row, class Result>(Row, Result) {
    const cuda::TileSizes sizes(rows.blocks, rows.rows(), !std::is_same_v<Row, Result>, rule);
    auto* memory = static_cast<Result*>(scratch.data);
    Result* own = memory;  // of the tiles
    if (sizes.materialized) own += cuda::room_for_materialized(rows.blocks, rows.rows());
    const Tiles<Result> tiles{work, rule, sizes.template in<Result>(own)};
    if (materialized) add_materialized<Row, Result>(tiles, rows, K, memory);
    add_pairwise<Row, Result>(tiles, rows, materialized, K);
  });
}

}  // namespace natgrad
