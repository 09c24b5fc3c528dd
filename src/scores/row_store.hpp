#pragma once

#include "backend/backend.hpp"
#include "core/arena.hpp"
#include "natgrad/array.hpp"
#include "natgrad/context.hpp"
#include "scores/score_set.hpp"

#include <cstdint>
#include <span>
#include <vector>

namespace natgrad::detail {

/// Where the rows are kept: factors of every layer, and three float64 a row.
struct StoreBuffers {
  struct Factors {
    View input;         // (capacity / R T, d_in)
    View output_score;  // (capacity T, d_out)
  };
  View scale;    // (capacity) float64, as are the next two
  View rhs;      // r
  View weights;  // w
  std::vector<Factors> layers;

  StoreBuffers() = default;
  StoreBuffers(Carver& carver, std::span<const LayerUse> blocks, std::int64_t capacity,
               ElementType type);
};

/// Copies of the factors of several sets of rows, one after another: what the dual form needs once
/// the batch itself is gone. N sum(T (d_in + d_out)) numbers and three float64 a row.
class RowStore {
 public:
  /// `blocks`: those of `rows`, or of a part of the parameters. Throws `ShapeError` when the layers
  /// differ from those kept, or more than `capacity` rows would be kept; nothing is added then.
  void append(const ScoreSet& rows, std::span<const LayerUse> blocks, std::int64_t capacity);

  /// Memory for so many rows of such layers, unless there is as much; forgets what is kept.
  void reserve(const Context& context, std::span<const LayerUse> blocks, std::int64_t capacity,
               ElementType type);

  void clear() {
    count_ = 0;
    blocks_.clear();
  }

  std::int64_t size() const { return count_; }
  /// Valid until the next `append`.
  RowBatch blocks() const { return {blocks_, b_.scale.row_range(0, count_)}; }
  ConstView rhs() const { return b_.rhs.row_range(0, count_); }          // (N) float64
  ConstView weights() const { return b_.weights.row_range(0, count_); }  // w (N) float64

 private:
  bool has_layers_of(std::span<const LayerUse> blocks) const;
  void append_block(Backend& backend, std::size_t layer, const LayerUse& block);

  std::int64_t count_ = 0;
  std::int64_t capacity_ = 0;
  Array memory_;
  StoreBuffers b_;
  std::vector<LayerUse> layers_;          // of one set, without views
  std::vector<std::int64_t> layer_rows_;  // kept of each
  std::vector<LayerUse> blocks_;
};

}  // namespace natgrad::detail
