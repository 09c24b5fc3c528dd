#pragma once

#include "backend/backend.hpp"
#include "core/arena.hpp"
#include "curvature/curvature.hpp"
#include "curvature/damping_units.hpp"
#include "curvature/parameter_blocks.hpp"

#include <cstdint>
#include <span>

namespace natgrad::detail {

/// The diagonal of F = S^T S from rows of which only the factors exist, as its means over tensors
/// or as it is; in double whatever the rows' type.
///
/// The mean of a layer with one term whose parameters no other use shares takes the lengths of its
/// factors alone, sum_n w_n |D_n|^2 |A_n|^2: N (d_in + d_out) operations. Rows of other uses are
/// materialized some at a time and squared, about 4 N P operations at the speed of memory, and so
/// are all where the diagonal itself is asked for.
class RowSquares {
 public:
  RowSquares(Backend& backend, const CurvatureOptions& options)
      : backend_(backend), options_(options) {}

  /// What one call takes, for these uses of `rows` rows of the shape's tensors.
  void layout(Carver& scratch, const BatchShape& shape, std::span<const LayerUse> uses,
              std::int64_t rows);

  /// Writes the units' means, or their diagonal, of these rows.
  void load(const RowBatch& rows, const BatchShape& shape, const DampingUnits& units);

 private:
  using Block = ParameterBlocks::Block;

  bool by_lengths(const Block& block) const;
  static std::int64_t rows_at_a_time(const LayerUse& use, std::int64_t rows);
  std::int64_t rows_at_a_time(const Block& block, std::int64_t rows) const;
  void add_lengths(const Block& block, const ConstView& scale, const BatchShape& shape,
                   const DampingUnits& units);
  void square_columns(const Block& block, const ConstView& scale);
  void add_mean(const ConstView& numbers, std::int64_t parameters, const View& mean);

  Backend& backend_;
  const CurvatureOptions& options_;
  ParameterBlocks blocks_;  // of tensors whose rows are materialized together
  View buffer_;             // rows materialized at a time, or squared factors; float64, as is all
  View ones_;               // as many as a layer has inputs or outputs
  View lengths_;            // (rows at a time) |D_n|^2
  View products_;           // (rows at a time) |D_n|^2 |A_n|^2
  View squares_;            // of the columns of one block
  View element_;            // one element
  Scratch work_;            // of row operations
};

}  // namespace natgrad::detail
