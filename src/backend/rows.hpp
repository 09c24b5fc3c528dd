#pragma once

#include "backend/types.hpp"
#include "natgrad/array.hpp"
#include "natgrad/types.hpp"

#include <cstdint>
#include <span>

namespace natgrad {

/// One use of a layer: its share of rows [first, first + rows) of S (N, P). With T terms a row and
/// R rows an input, row n (counted from `first`) and term t read row n T + t of D and row
/// (n / R) T + t of A, and add to the P numbers of row n
///   [weight_offset, + d_out d_in)   sum_t D_nt (x) A_nt, row-major (d_out, d_in)
///   [bias_offset,   + d_out)        sum_t D_nt, or D_n0 with `bias_first_term`
/// An offset of -1 means that there is no such part; without a weight there is no input. Uses with
/// the same offset share that parameter: the parts of a row add up, and K holds their products.
/// The shape is known when memory is planned, the views only when rows are given.
///
/// A lookup reads one row of its weight a term: A is one-hot, and given as int32 indices of d_in
/// rows. Such a weight is stored the other way round, (d_in, d_out), and its use has no bias. An
/// index outside of the weight makes its row of S NaN, and is never followed.
struct LayerUse {
  std::int64_t first = 0;
  std::int64_t rows = 0;
  std::int64_t inputs = 0;   // d_in, 0 without a weight
  std::int64_t outputs = 0;  // d_out
  std::int64_t terms = 1;
  std::int64_t rows_per_input = 1;  // divides `rows`
  bool bias_first_term = false;
  bool lookup = false;
  /// How the Gram is computed: from this use's columns of S, materialized some at a time, or from
  /// products of the factors of pairs of terms (T at most `most_pairwise_terms`, of lookups any).
  /// Uses that share a parameter agree; lookups that share it with others are materialized.
  bool materialized = false;
  std::int64_t weight_offset = -1;
  std::int64_t bias_offset = -1;
  ConstView input = {};         // A (rows / R T, d_in), of a lookup indices (rows / R T)
  ConstView output_score = {};  // D (rows T, d_out)

  /// Of the input: the numbers that a term reads.
  std::int64_t input_columns() const { return lookup ? 1 : inputs; }
  /// The weight's as it is stored.
  Shape weight_shape() const { return lookup ? Shape{inputs, outputs} : Shape{outputs, inputs}; }
};

inline constexpr std::int64_t most_pairwise_terms = 64;

inline bool share_weight(const LayerUse& a, const LayerUse& b) {
  return a.weight_offset >= 0 && a.weight_offset == b.weight_offset;
}
inline bool share_bias(const LayerUse& a, const LayerUse& b) {
  return a.bias_offset >= 0 && a.bias_offset == b.bias_offset;
}

/// N rows of S as uses of layers; row n is multiplied by scale[n]. A row of scale 0 is zeros,
/// whatever its factors hold: row n of D, and of A what only rows of scale 0 read.
struct RowBatch {
  std::span<const LayerUse> blocks;
  ConstView scale;                   // (N) float64
  MathMode mode = MathMode::strict;  // of gram, apply and adjoint
  /// Whether a scale may be 0, so that adjoint must leave rows out. On a GPU it then takes a copy
  /// of A, some rows at a time.
  bool weighted = true;
  std::int64_t rows() const { return scale.rows(); }
};

/// What the two ways to K of a `LayerUse` cost on a backend beside the multiply-adds of their
/// matrix products. The unit of all three is the time of one multiply-add of a large float product.
struct RowCosts {
  /// Of every pair of terms: store and read two products, multiply and add.
  double pair_overhead;
  /// Of every number of a materialized row: store it and read it again.
  double materializing_overhead;
  /// Of every entry of K, for the symmetric product of a materialized layer: read and write it.
  double passes;
};

/// Products with rows of S that are given by the factors of their layers. Results are of the
/// factors' type, or double over float factors; vectors are contiguous. Every call reads all N rows
/// unless said.
class RowOperations {
 public:
  virtual ~RowOperations() = default;

  /// Weights of rows: scale_n = factor sqrt(w_n) and rhs_n = sqrt(w_n) (c_n - reference), both (N)
  /// float64. `weights` w and `coefficients` c (N), each float or double and each with a stride;
  /// without `weights` w_n = uniform, without `coefficients` c_n = 1. Where w_n = 0, rhs_n = 0
  /// whatever c_n is.
  virtual void row_scaling(const ConstView& weights, double uniform, const ConstView& coefficients,
                           Scalar reference, double factor, const View& scale, const View& rhs) = 0;

  /// Gram matrix: the lower triangle of K = S S^T, K (N, N).
  virtual void gram(const RowBatch& rows, const View& K, Scratch scratch) = 0;

  /// z = S v; v (P), z (N). z = 0 where no layer has rows.
  virtual void apply(const RowBatch& rows, const ConstView& v, const View& z, Scratch scratch) = 0;

  /// g = S^T y + b g, also of parameters that no layer has; y (N), g (P). b = 0 ignores what g
  /// held.
  virtual void adjoint(const RowBatch& rows, const ConstView& y, double b, const View& g,
                       Scratch scratch) = 0;

  /// Writes out rows [first, first + n) of S to `out` (n, P), which may be strided.
  virtual void materialize(const RowBatch& rows, std::int64_t first, const View& out) = 0;

  /// Bytes of scratch that gram, apply and adjoint take for N = `rows` such rows with factors of
  /// type `factors` and results of type `result`. Reads no view, no offset and not `materialized`.
  virtual std::int64_t rows_scratch(std::span<const LayerUse> uses, std::int64_t rows,
                                    ElementType factors, ElementType result) const = 0;

  /// A model of this device, for the choice of `LayerUse::materialized`; nothing is measured.
  virtual RowCosts row_costs() const = 0;
};

}  // namespace natgrad
