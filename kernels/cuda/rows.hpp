#pragma once

#include "kernels/cuda/launch.hpp"
#include "natgrad/array.hpp"

#include <cstdint>

// Rows of S from their factors (LayerUse in src/backend/rows.hpp), enqueued on a stream. `Row` is
// the type of the factors and `Result` that of the results and of all arithmetic: float and float,
// float and double, or double and double.

namespace natgrad::kernels {

/// How some consecutive rows of a use of a layer read their factors; n counts from the first of
/// them.
struct TermLayout {
  std::int64_t rows = 0;
  std::int64_t terms = 1;
  std::int64_t rows_per_input = 1;
  std::int64_t skipped = 0;  // rows of the first row's input that come before it
  bool bias_first_term = false;

  /// Counted from the first row's input.
  NATGRAD_DEVICE std::int64_t input(std::int64_t n) const {
    return rows_per_input == 1 ? n : (skipped + n) / rows_per_input;
  }
  NATGRAD_DEVICE bool carries_bias(std::int64_t term) const {
    return term == 0 || !bias_first_term;
  }
  /// Terms that carry the bias: the first ones.
  NATGRAD_FORMULA std::int64_t carrying() const { return bias_first_term ? 1 : terms; }
};

/// Some consecutive rows of a use of a layer, given by its factors: a row is a sum of Kronecker
/// products of rows of D and A, which makes S a Khatri-Rao product of the two.
template <class Row>
struct KhatriRaoFactors {
  TermLayout layout;
  Matrix<const Row> outputs;  // D (rows T, d_out)
  Matrix<const Row> inputs;   // A, from the first row's input on; null without a weight
};

/// `RowOperations::row_scaling`.
void row_scaling(Stream stream, const ConstView& weights, double uniform,
                 const ConstView& coefficients, DeviceScalar reference, double factor,
                 const View& scale, const View& rhs);

/// scale_n times what row n has; 0 where scale_n is 0, whatever that is.
template <class Result>
NATGRAD_DEVICE Result scaled(double scale_n, Result number) {
  return scale_n == 0 ? Result{0} : static_cast<Result>(scale_n) * number;
}

/// Where a part of the rows is written out: row n at to + n leading_dimension, zeros where its
/// scale is 0.
template <class Result>
struct MaterializedPart {
  const double* scale;  // of the rows; null: 1
  bool adds;
  Result* to;
  std::int64_t leading_dimension;
};
/// Writes the rows' numbers of a weight, row-major (d_out, d_in): sum_t D_nt (x) A_nt.
template <class Row, class Result>
void materialize_weight(Stream stream, const KhatriRaoFactors<Row>& factors,
                        const MaterializedPart<Result>& part);
/// Writes the rows' numbers of a bias (d_out): sum_t D_nt over the terms that carry it.
template <class Row, class Result>
void materialize_bias(Stream stream, const KhatriRaoFactors<Row>& factors,
                      const MaterializedPart<Result>& part);

}  // namespace natgrad::kernels
