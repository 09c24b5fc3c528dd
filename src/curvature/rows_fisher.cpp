#include "curvature/rows_fisher.hpp"

#include "core/context_state.hpp"
#include "curvature/row_tiles.hpp"

#include <utility>

namespace natgrad::detail {

RowsFisher::RowsFisher(const Context& context, const RowStore& store,
                       const CurvatureOptions& options)
    : context_(context), backend_(context.state().backend()), store_(store), options_(options) {}

void RowsFisher::use(const Operands& operands, const BatchShape& shape) {
  operands_ = operands;
  shape_ = shape;
}

RowBatch RowsFisher::strict_rows() const {
  RowBatch rows = operands_.rows;
  rows.mode = MathMode::strict;
  return rows;
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
  backend_.apply(strict_rows(), vector, product, work);
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

/// Of K in double, whatever the type of the factors: its eigenvalues are those of F that are not 0.
void RowsFisher::decompose(const Context& context, Eigensystem& to) const {
  if (to.known) return;
  const std::int64_t n = operands_.rows.rows();
  const View& roots = operands_.roots;
  Array matrix = context.array({n, n}, ElementType::float64);
  backend_.gram(strict_rows(), matrix, operands_.work);
  if (!roots.empty()) {
    const Array product = context.array({n, 1}, ElementType::float64);
    backend_.symv(Triangle::lower, matrix, roots, product);
    backend_.project_matrix(Triangle::lower, roots, product, matrix);
  }
  to.decompose(context, std::move(matrix), n, shape_.parameters);
}

/// F^+ = S^T V Lambda^-2 V^T S: the singular vectors of F are S^T V Lambda^-1/2.
void RowsFisher::pseudo_inverse(const Context& context, const Eigensystem& of, double cutoff,
                                const ConstView& v, const View& product) const {
  const auto& [rows, roots, vector, of_rows, work] = operands_;
  const RowBatch strict = strict_rows();
  backend_.apply(strict, v, of_rows, work);
  if (!roots.empty()) backend_.project(roots, of_rows);
  of.apply(context, inverse_above(cutoff, 2), of_rows);
  if (!roots.empty()) backend_.project(roots, of_rows);
  backend_.adjoint(strict, of_rows, 0, product, work);
}

}  // namespace natgrad::detail
