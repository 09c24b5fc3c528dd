#include "curvature/dense_fisher.hpp"

#include <utility>

namespace natgrad::detail {

void DenseFisher::apply(const ConstView& v, const View& product) const {
  backend_.copy(v, operands_.vector);
  backend_.symv(Triangle::lower, operands_.F, operands_.vector, operands_.product);
  backend_.copy(operands_.product, product);
}

void DenseFisher::quadratic_form(const ConstView& v, const View& result) const {
  backend_.copy(v, operands_.vector);
  backend_.symv(Triangle::lower, operands_.F, operands_.vector, operands_.product);
  backend_.dot(operands_.vector, operands_.product, result);
}

void DenseFisher::diagonal(const View& diagonal) const {
  const View& F = operands_.F;
  // Every element of the diagonal is one row of a matrix with one column.
  backend_.copy(ConstView(F.as<double>(), {F.rows(), 1},
                          {.leading_dimension = F.leading_dimension() + 1, .device = F.device()}),
                diagonal);
}

void DenseFisher::to_dense(const View& matrix) const {
  backend_.copy(operands_.F, matrix);
  backend_.mirror(matrix, matrix);
}

void DenseFisher::decompose(const Context& context, Eigensystem& to) const {
  if (to.known) return;
  const View& F = operands_.F;
  Array matrix = context.array(F.shape(), ElementType::float64);
  backend_.copy(F, matrix);
  to.decompose(context, std::move(matrix), operands_.rows, F.rows());
}

void DenseFisher::pseudo_inverse(const Context& context, const Eigensystem& of, double cutoff,
                                 const ConstView& v, const View& product) const {
  backend_.copy(v, product);
  of.apply(context, inverse_above(cutoff, 1), product);
}

}  // namespace natgrad::detail
