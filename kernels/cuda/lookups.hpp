#pragma once

#include "kernels/cuda/launch.hpp"
#include "kernels/cuda/rows.hpp"

#include <cstdint>

// Products with rows of S of a weight whose inputs are row numbers of it (`LayerUse::lookup`),
// enqueued on a stream. An index outside of the weight is never followed: what it would give is
// NaN.

namespace natgrad::kernels {

/// Some consecutive rows of such a use.
template <class Row>
struct LookupFactors {
  TermLayout layout;
  const std::int32_t* indices = nullptr;  // (rows / R T), from the first row's input on
  std::int64_t stride = 1;                // of these
  std::int64_t words = 0;                 // rows of the weight
  Matrix<const Row> outputs;              // D (rows T, d_out)

  /// Row of the weight that an input term reads; -1 for an index that is none.
  NATGRAD_DEVICE std::int64_t word(std::int64_t term) const {
    const std::int64_t index = indices[term * stride];
    return index >= 0 && index < words ? index : -1;
  }
  NATGRAD_DEVICE std::int64_t word(std::int64_t n, std::int64_t t) const {
    return word(layout.input(n) * layout.terms + t);
  }
};

/// to_i (count, d_out) = row word(i) of `weight` (words, d_out), which stands for A V^T.
template <class Row, class Result>
void look_up(Stream stream, const LookupFactors<Row>& factors, const Result* weight,
             const Matrix<Result>& to);

/// What two uses of one weight add to a part of K; as `GramTile`.
template <class Row, class Result>
struct LookupTile {
  Matrix<Result> K;
  std::int64_t below = 0;
  LookupFactors<Row> left;
  LookupFactors<Row> right;
  bool adds = false;
  const double* row_scale = nullptr;
  const double* column_scale = nullptr;
};
/// K_nm = scale_n scale_m (K_nm + the sum of D_nt . D_ms over the terms that read one row of the
/// weight), for (n, m) in the lower triangle.
template <class Row, class Result>
void add_lookups(Stream stream, const LookupTile<Row, Result>& tile);

/// Elements of the weight that are written out of each row.
struct LookupPart {
  std::int64_t first_word = 0;
  std::int64_t words = 0;
  std::int64_t first_column = 0;
  std::int64_t columns = 0;
};
/// Writes the rows' numbers of a part of the weight, row-major (words, columns). T comparisons
/// each.
template <class Row, class Result>
void materialize_lookup(Stream stream, const LookupFactors<Row>& factors, const LookupPart& which,
                        const MaterializedPart<Result>& part);

/// Integers of scratch that `scatter` takes for so many input terms.
inline std::int64_t scatter_integers(std::int64_t terms) { return 3 * terms; }
/// g (words, d_out) += the sum of E_i over the input terms i that read each row, in a fixed order:
/// a chain of terms for each row that is read. `weighed`: E (rows / R T, d_out), which is lost;
/// `scale`: of the rows, whose first is its input's first. C^2 / 2 comparisons of C terms at most.
template <class Row, class Result>
void scatter(Stream stream, const LookupFactors<Row>& factors, const double* scale, Result* weighed,
             std::int32_t* integers, Result* g);

}  // namespace natgrad::kernels
