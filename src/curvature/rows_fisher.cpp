#include "curvature/rows_fisher.hpp"

#include "core/context_state.hpp"
#include "curvature/row_tiles.hpp"

namespace natgrad::detail {

RowsFisher::RowsFisher(const Context& context, const RowStore& store,
                       const CurvatureOptions& options)
    : context_(context), backend_(context.state().backend()), store_(store), options_(options) {}

void RowsFisher::use(const Operands& operands, const BatchShape& shape) {
  operands_ = operands;
  shape_ = shape;
}

void RowsFisher::apply(const ConstView& v, const View& product) const {
  const auto& [rows, roots, vector, of_rows, work] = operands_;
  backend_.copy(v, vector);
  backend_.apply(rows, vector, of_rows, work);
  if (!roots.empty()) backend_.project(roots, of_rows);
  backend_.adjoint(rows, of_rows, 0, vector, work);
  backend_.copy(vector, product);
}

void RowsFisher::quadratic_form(const ConstView& v, const View& result) const {
  const auto& [rows, roots, vector, product, work] = operands_;
  backend_.copy(v, vector);
  RowBatch strict = rows;
  strict.mode = MathMode::strict;
  backend_.apply(strict, vector, product, work);
  // The projection takes both vectors of one type; u is double where anything is centred.
  if (!roots.empty()) backend_.project(roots, product);
  backend_.dot(product, product, result);
}

void RowsFisher::diagonal(const View& diagonal) const {
  bool add = false;
  const RowTiles tiles(context_, store_, shape_, options_, diagonal.type());
  tiles.for_each([&](const View& tile) {
    backend_.column_squares(tile, add, diagonal);
    add = true;
  });
}

void RowsFisher::to_dense(const View& matrix) const {
  double beta = 0;
  const RowTiles tiles(context_, store_, shape_, options_, matrix.type());
  tiles.for_each([&](const View& tile) {
    backend_.syrk(Triangle::lower, Transpose::yes, 1, tile, beta, matrix);
    beta = 1;
  });
  backend_.mirror(matrix, matrix);
}

}  // namespace natgrad::detail
