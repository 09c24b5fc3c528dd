#pragma once

#include "backend/backend.hpp"
#include "kernels/formulas/float_type.hpp"

#include <algorithm>
#include <cstdint>
#include <span>

// What every backend asks of blocks of rows and of element types.

namespace natgrad {

/// Calls body(Row{}, Result{}) with the types of factors and results.
template <class Body>
void with_row_types(const RowBatch& rows, ElementType result, const Body& body) {
  const bool single =
      !rows.blocks.empty() && rows.blocks.front().output_score.type() == ElementType::float32;
  if (result == ElementType::float32)
    body(float{}, float{});
  else if (single)
    body(float{}, double{});
  else
    body(double{}, double{});
}

struct Range {
  std::int64_t begin;
  std::int64_t end;
  bool empty() const { return begin >= end; }
  std::int64_t size() const { return end - begin; }
};

inline Range range_of(const LayerUse& block) { return {block.first, block.first + block.rows}; }
inline Range common(Range a, Range b) {
  return {std::max(a.begin, b.begin), std::min(a.end, b.end)};
}
inline bool covers(const LayerUse& block, Range rows) {
  return block.first <= rows.begin && rows.end <= block.first + block.rows;
}

/// Whether every one of `parameters` numbers of these rows is written by exactly one block, which
/// then may write instead of add.
inline bool write_once(std::span<const LayerUse> blocks, Range rows, std::int64_t parameters) {
  std::int64_t covered = 0;
  for (const LayerUse& block : blocks) {
    if (rows.empty() || !covers(block, rows)) return false;
    if (block.bias_offset >= 0) covered += block.outputs;
    if (block.weight_offset >= 0) covered += block.outputs * block.inputs;
    for (const LayerUse* other = blocks.data(); other != &block; ++other) {
      if (share_weight(*other, block) || share_bias(*other, block)) return false;
    }
  }
  return covered == parameters;
}

/// Whether an earlier block has the same parameter: each is taken once, with all of its blocks.
inline bool is_repeated(const RowBatch& rows, const LayerUse& block, bool bias) {
  for (const LayerUse* other = rows.blocks.data(); other != &block; ++other) {
    if (bias ? share_bias(*other, block) : share_weight(*other, block)) return true;
  }
  return false;
}

/// Whether no other block has the same bias.
inline bool is_alone(const RowBatch& rows, const LayerUse& block) {
  return std::none_of(rows.blocks.begin(), rows.blocks.end(), [&](const LayerUse& other) {
    return &other != &block && share_bias(other, block);
  });
}

}  // namespace natgrad
