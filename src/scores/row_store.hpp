#pragma once

#include "backend/backend.hpp"
#include "core/arena.hpp"
#include "core/growing_array.hpp"
#include "natgrad/array.hpp"
#include "natgrad/context.hpp"
#include "scores/score_set.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace natgrad::detail {

/// Memory of a `RowStore` for `capacity` rows that all have these layers: the factors of every
/// layer, and three float64 a row.
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
  /// Throws `MemoryError` where the bytes are more than an address can count.
  StoreBuffers(Carver& carver, std::span<const LayerUse> blocks, std::int64_t capacity,
               ElementType type);
};

/// Copies of the factors of several sets of rows, one after another, which sample space needs once
/// the caller's arrays hold the next part of the batch: N sum(T (d_in + d_out)) numbers and three
/// float64 a row.
///
/// The sets may have other layers, in another order, with another number of terms (sequences sorted
/// into buckets by length). Memory is laid out for `capacity` rows of some layers, at first those
/// of `reserve` or of the first set. Uses of the first set's layers follow each other there and
/// become one use of more rows. Other uses of the same parameters take what numbers are left, which
/// is enough where they have at most as many terms as the memory was laid out for: a plan for the
/// longest sequences is enough for all. Beyond that the store allocates, and the next batch is laid
/// out for what it saw.
class RowStore {
 public:
  /// Appends copies of these rows. `blocks`: those of `rows`, or of a part of the parameters. Does
  /// not wait. Throws `ShapeError` where more than `capacity` rows would be kept, `MemoryError`;
  /// nothing is added then.
  void append(const ScoreSet& rows, std::span<const LayerUse> blocks, std::int64_t capacity);

  /// Lays the memory out for `capacity` rows of such layers, and allocates only where there is less
  /// than that. Forgets what is kept.
  void reserve(const Context& context, std::span<const LayerUse> blocks, std::int64_t capacity,
               ElementType type);

  /// Takes back the last `append`, once.
  void undo() noexcept;

  /// Forgets what is kept, but not the memory.
  void clear();

  std::int64_t size() const { return count_; }
  /// Valid until the next `append`.
  RowBatch blocks() const {
    return {.blocks = blocks_, .scale = b_.scale.row_range(0, count_), .weighted = weighted_};
  }
  ConstView rhs() const { return b_.rhs.row_range(0, count_); }          // (N) float64
  ConstView weights() const { return b_.weights.row_range(0, count_); }  // w (N) float64

 private:
  /// Numbers that are free between `begin` and `end`: the layer that a space was laid out for takes
  /// them from the front, all others from the back.
  struct Space {
    View numbers;  // (n) of the factors' type
    std::int64_t begin = 0;
    std::int64_t end = 0;

    explicit Space(const View& array);
    bool has(std::int64_t count) const { return end - begin >= count; }
    View front(Shape shape);
    View back(Shape shape);
  };
  using Factors = StoreBuffers::Factors;

  /// What `undo` restores.
  struct Before {
    std::int64_t count = 0;
    bool weighted = false;
    std::vector<LayerUse> blocks;
    std::vector<Space> spaces;
    std::size_t more = 0;
  };

  void begin(const Context& context, std::span<const LayerUse> blocks, std::int64_t capacity,
             ElementType type);
  bool has_room(std::span<const LayerUse> blocks, std::int64_t capacity) const;
  void lay_out(const Context& context, std::span<const LayerUse> blocks, std::int64_t capacity,
               ElementType type);
  void append_block(const Context& context, std::span<const LayerUse> set, std::size_t index);
  Factors place(const Context& context, std::span<const LayerUse> set, std::size_t index);
  View place_elsewhere(const Context& context, const LayerUse& block, Shape shape, bool input);

  std::int64_t count_ = 0;
  bool weighted_ = false;  // a set has weights of its own
  std::int64_t capacity_ = 0;
  GrowingArray memory_;
  std::vector<Array> more_;  // what the layout had no room for
  StoreBuffers b_;
  std::vector<LayerUse> layers_;   // of the first set, whose uses are joined
  std::vector<LayerUse> largest_;  // the most terms of each that were seen
  std::vector<Space> spaces_;  // 2 i: output scores of layer i, 2 i + 1: its inputs; then others
  std::vector<LayerUse> blocks_;
  Before before_;
};

}  // namespace natgrad::detail
