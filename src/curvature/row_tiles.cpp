#include "curvature/row_tiles.hpp"

#include "core/context_state.hpp"

namespace natgrad::detail {

RowTiles::Buffers::Buffers(Carver& carver, Shape tile_shape, std::int64_t rows, ElementType type,
                           bool centred, std::int64_t work_bytes)
    : tile(carver.take(tile_shape, type)) {
  if (!centred) return;
  tile_real = type == real ? tile : carver.take(tile_shape, real);
  mean = carver.take({tile_shape.columns, 1}, real);
  roots = carver.take({rows, 1}, real);
  unused = carver.take({rows, 1}, real);
  centering = take_scalars<CenteringScalars>(carver);
  work = {.data = carver.take_bytes(work_bytes), .bytes = work_bytes};
}

RowTiles::RowTiles(const Context& context, const RowStore& store, const BatchShape& shape,
                   const CurvatureOptions& options, ElementType type)
    : backend_(context.state().backend()),
      store_(store),
      parameters_(shape.parameters),
      centred_(shape.centering != Centering::none),
      b_(context.state().arena().buffers<Buffers>(
          Shape{std::min(options.tile_rows, store.size()), shape.parameters}, store.size(), type,
          centred_,
          centred_ ? backend_.rows_scratch(store.blocks().blocks, store.size(), options.type,
                                           ElementType::float64)
                   : 0)) {
  if (centred_) load_mean();
}

void RowTiles::load_mean() {
  backend_.row_scaling(store_.weights(), 0, {}, 0.0, 1, b_.roots, b_.unused);
  backend_.fill(0, b_.centering);
  backend_.dot(b_.roots, b_.roots, scalar(b_.centering, &CenteringScalars::weight));
  backend_.evaluate(formulas::CenterFactors{address<CenteringScalars>(b_.centering)});
  backend_.axpby(0.0, b_.roots, scalar(b_.centering, &CenteringScalars::scale), b_.roots);
  backend_.adjoint(store_.blocks(), b_.roots, 0, b_.mean, b_.work);
}

View RowTiles::form(std::int64_t first, std::int64_t count) const {
  const View part = b_.tile.row_range(0, count);
  if (!centred_) {
    backend_.materialize(store_.blocks(), first, part);
    return part;
  }
  const View real = b_.tile_real.row_range(0, count);
  backend_.materialize(store_.blocks(), first, real);
  const ConstView mean(b_.mean.as<double>(), {1, parameters_}, {.device = b_.mean.device()});
  backend_.gemm(Transpose::no, Transpose::no, -1, b_.roots.row_range(first, count), mean, 1, real);
  if (real.data() != part.data()) backend_.copy(real, part);
  return part;
}

}  // namespace natgrad::detail
