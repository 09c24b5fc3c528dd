#include "curvature/diagonal_fisher.hpp"

namespace natgrad::detail {

void DiagonalFisher::apply(const ConstView& v, const View& product) const {
  backend_.copy(v, operands_.product);
  backend_.multiply(operands_.diagonal, operands_.product, operands_.product);
  backend_.copy(operands_.product, product);
}

void DiagonalFisher::quadratic_form(const ConstView& v, const View& result) const {
  backend_.copy(v, operands_.vector);
  backend_.multiply(operands_.diagonal, operands_.vector, operands_.product);
  backend_.dot(operands_.vector, operands_.product, result);
}

void DiagonalFisher::diagonal(const View& diagonal) const {
  backend_.copy(operands_.diagonal, diagonal);
}

void DiagonalFisher::to_dense(const View& matrix) const {
  backend_.fill(0, matrix);
  // Every element of the diagonal is one row of a matrix with one column.
  backend_.copy(operands_.diagonal, View(matrix.data(), matrix.type(), {matrix.rows(), 1},
                                         {.leading_dimension = matrix.leading_dimension() + 1,
                                          .device = matrix.device()}));
}

void DiagonalFisher::decompose(const Context& context, Eigensystem& to) const {
  if (!to.known) to.read_diagonal(context, operands_.diagonal);
}

void DiagonalFisher::pseudo_inverse(const Context& context, const Eigensystem& of, double cutoff,
                                    const ConstView& v, const View& product) const {
  backend_.copy(v, product);
  of.apply(context, inverse_above(cutoff, 1), product);
}

}  // namespace natgrad::detail
