#pragma once

#include "backend/backend.hpp"
#include "natgrad/array.hpp"
#include "natgrad/context.hpp"
#include "scores/rows.hpp"

#include <cstdint>
#include <vector>

namespace natgrad::detail {

/// Copies of the factors of several sets of rows, one after another: what the dual form needs once
/// the batch itself is gone. N sum(d_in + d_out) numbers and three float64 a row.
class KeptRows {
 public:
  /// Throws `ShapeError` when the layers differ from those kept, or more than `capacity` rows would
  /// be kept; nothing is added then.
  void append(const Rows& rows, std::int64_t capacity);

  void clear() { count_ = 0; }

  std::int64_t size() const { return count_; }
  /// Valid until the next `append`.
  RowBlocks blocks() const { return {blocks_, scale_.view().row_range(0, count_)}; }
  ConstView rhs() const { return rhs_.view().row_range(0, count_); }          // (N) float64
  ConstView weights() const { return weights_.view().row_range(0, count_); }  // w (N) float64

 private:
  struct Block {
    Array input;
    Array output_score;
  };
  void allocate(const Rows& rows, std::int64_t capacity);
  bool has_layers_of(const Rows& rows) const;

  std::int64_t count_ = 0;
  std::int64_t capacity_ = 0;
  std::vector<Block> kept_;
  std::vector<RowBlock> blocks_;
  Array scale_;
  Array rhs_;
  Array weights_;
};

}  // namespace natgrad::detail
