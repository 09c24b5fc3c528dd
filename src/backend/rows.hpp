#pragma once

#include "backend/types.hpp"
#include "natgrad/array.hpp"
#include "natgrad/types.hpp"

#include <cstdint>
#include <span>

namespace natgrad {

/// One use of a layer: its share of rows [first, first + rows) of S. With T terms a row and R rows
/// an input, row n (counted from `first`) and term t read row n T + t of D and row (n / R) T + t of
/// A, and add to the P numbers of row n
///   [weight_offset, + d_out d_in)   sum_t D_nt (x) A_nt, row-major (d_out, d_in)
///   [bias_offset,   + d_out)        sum_t D_nt, or D_n0 with `bias_first_term`
/// An offset of -1 means that there is no such part; without a weight there is no input. Blocks
/// with the same offset share that parameter: the parts of a row add up, and K holds their
/// products. The views are all that a plan does not know.
struct LayerUse {
  std::int64_t first = 0;
  std::int64_t rows = 0;
  std::int64_t inputs = 0;   // d_in, 0 without a weight
  std::int64_t outputs = 0;  // d_out
  std::int64_t terms = 1;
  std::int64_t rows_per_input = 1;  // divides `rows`
  bool bias_first_term = false;
  /// How the Gram is computed: from this block's part of the rows, formed some columns at a time,
  /// or from products of the factors of pairs of terms (T at most `most_paired_terms`). Blocks that
  /// share a parameter agree.
  bool formed = false;
  std::int64_t weight_offset = -1;
  std::int64_t bias_offset = -1;
  ConstView input = {};         // A (rows / R T, d_in)
  ConstView output_score = {};  // D (rows T, d_out)
};

inline constexpr std::int64_t most_paired_terms = 64;

inline bool share_weight(const LayerUse& a, const LayerUse& b) {
  return a.weight_offset >= 0 && a.weight_offset == b.weight_offset;
}
inline bool share_bias(const LayerUse& a, const LayerUse& b) {
  return a.bias_offset >= 0 && a.bias_offset == b.bias_offset;
}

/// N rows of S as blocks; row n is multiplied by scale[n], float64.
struct RowBatch {
  std::span<const LayerUse> blocks;
  ConstView scale;                   // (N) float64
  MathMode mode = MathMode::strict;  // of gram, apply and adjoint
  std::int64_t rows() const { return scale.rows(); }
};

/// Products with rows of S that are given by the factors of their layers.
class RowOperations {
 public:
  virtual ~RowOperations() = default;

  // Rows of S. Float rows with double results are the mixed form.
  /// scale_n = factor sqrt(w_n), rhs_n = sqrt(w_n) (c_n - reference), in float64; weights and
  /// coefficients each of a type and leading dimension of its own. Without `weights` w_n = uniform,
  /// without `coefficients` c_n = 1.
  virtual void row_scaling(const ConstView& weights, double uniform, const ConstView& coefficients,
                           Scalar reference, double factor, const View& scale, const View& rhs) = 0;
  /// K = S S^T, lower triangle; K (N, N) of the rows' type, or double over float rows.
  virtual void gram(const RowBatch& rows, const View& K, Scratch scratch) = 0;
  /// z = S v; v (P), z (N): of the rows' type, or both double over float rows. z = 0 without
  /// blocks.
  virtual void apply(const RowBatch& rows, const ConstView& v, const View& z, Scratch scratch) = 0;
  /// g = S^T y + b g, also where no block writes; y (N), g (P): of the rows' type, or both double
  /// over float rows. b = 0 ignores what g held.
  virtual void adjoint(const RowBatch& rows, const ConstView& y, double b, const View& g,
                       Scratch scratch) = 0;
  /// Rows [first, first + out.rows()) of S, formed; out (n, P) of the rows' type or double.
  virtual void materialize(const RowBatch& rows, std::int64_t first, const View& out) = 0;
  /// Bytes of scratch that gram, apply and adjoint take for N such rows, whose factors have type
  /// `factors`, when the results have type `result`. Reads no view, no offset and not `formed`.
  virtual std::int64_t rows_scratch(std::span<const LayerUse> blocks, std::int64_t rows,
                                    ElementType factors, ElementType result) const = 0;
};

}  // namespace natgrad
