#pragma once

#include "kernels/cuda/rows.hpp"

#include <cstdint>

// The Gram K = S S^T from products of factors, enqueued on a stream. T is the type of K.

namespace natgrad::kernels {

/// What pieces of two uses of layers add to a part of K, of which only the elements (i, j) with
/// j <= i + below are in the lower triangle of K, and are touched; of the products only what these
/// need is read.
template <class T>
struct GramTile {
  Matrix<T> K;
  std::int64_t below = 0;
  TermLayout left;          // the rows of this part
  TermLayout right;         // its columns
  Matrix<const T> outputs;  // D_nt . D_ms (left rows T, right rows T)
  Matrix<const T> inputs;   // A_nt . A_ms by input and term; null where no weight is shared
  bool bias = false;        // is shared
  bool adds = false;        // to what K holds
  const double* row_scale = nullptr;  // for the last pair that adds; or null
  const double* column_scale = nullptr;
};
/// Adds, and scales where there is a scale: K_nm = scale_n scale_m (K_nm + sum_ts (A_nt . A_ms +
/// bias) (D_nt . D_ms)). At most `most_blocks_down` rows, and `block_threads` terms a row.
template <class T>
void add_term_products(Stream stream, const GramTile<T>& tile);

/// Scales: K_nm = scale_n scale_m K_nm in the lower triangle.
template <class T>
void scale_lower(Stream stream, const double* scale, const Matrix<T>& K);

}  // namespace natgrad::kernels
