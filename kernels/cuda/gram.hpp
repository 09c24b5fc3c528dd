#pragma once

#include "kernels/cuda/rows.hpp"

#include <cstdint>

// The Gram K = S S^T from products of factors, enqueued on a stream. T is the type of K.

namespace natgrad::kernels {

/// A product of factors whose rows may have been divided by powers of two: an element of the
/// product as it would be is numbers(i, j) 2^(row_powers[i] + column_powers[j]).
template <class T>
struct FactorProduct {
  Matrix<const T> numbers;
  const std::int32_t* row_powers = nullptr;     // from -126 to 126; null: all are 0
  const std::int32_t* column_powers = nullptr;  // the same
};

/// What pieces of two uses of layers add to a part of K, of which only the elements (i, j) with
/// j <= i + below are in the lower triangle of K, and are touched; of the products only what these
/// need is read.
template <class T>
struct GramTile {
  Matrix<T> K;
  std::int64_t below = 0;
  TermLayout left;           // the rows of this part
  TermLayout right;          // its columns
  FactorProduct<T> outputs;  // D_nt . D_ms (left rows T, right rows T)
  FactorProduct<T> inputs;   // A_nt . A_ms by input and term; null where no weight is shared
  bool bias = false;         // is shared
  bool adds = false;         // to what K holds
  const double* row_scale = nullptr;  // for the last pair that adds; or null
  const double* column_scale = nullptr;
};
/// Adds, and scales where there is a scale: K_nm = scale_n scale_m (K_nm + sum_ts (A_nt . A_ms +
/// bias) (D_nt . D_ms)), and 0 where a scale is 0, whatever the products are. At most
/// `most_blocks_down` rows, and `block_threads` terms a row.
template <class T>
void add_term_products(Stream stream, const GramTile<T>& tile);

/// Scales: K_nm = scale_n scale_m K_nm in the lower triangle, and 0 where a scale is 0.
template <class T>
void scale_lower(Stream stream, const double* scale, const Matrix<T>& K);

}  // namespace natgrad::kernels
