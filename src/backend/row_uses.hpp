#pragma once

#include "backend/arrays.hpp"
#include "backend/rows.hpp"
#include "kernels/formulas/float_type.hpp"

#include <algorithm>
#include <cstdint>
#include <span>

// What both backends ask of the uses of layers in a batch of rows: which rows of K and of the
// factors a use reads, and which uses write the same numbers.

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

/// The integers from `begin` up to `end`, without it.
struct Range {
  std::int64_t begin;
  std::int64_t end;
  bool empty() const { return begin >= end; }
  std::int64_t size() const { return end - begin; }
};

inline Range common(Range a, Range b) {
  return {std::max(a.begin, b.begin), std::min(a.end, b.end)};
}

/// Calls body(piece) for consecutive pieces of at most `most` integers.
template <class Body>
void for_each_piece(Range range, std::int64_t most, const Body& body) {
  for (std::int64_t first = range.begin; first < range.end; first += most) {
    body(Range{first, std::min(first + most, range.end)});
  }
}

/// The rows of S that a use has a share in.
inline Range range_of(const LayerUse& use) { return {use.first, use.first + use.rows}; }
inline bool covers(const LayerUse& use, Range rows) {
  return use.first <= rows.begin && rows.end <= use.first + use.rows;
}
/// Rows of S, counted from the first row of a use.
inline Range within(const LayerUse& use, Range rows) {
  return {rows.begin - use.first, rows.end - use.first};
}

/// The rows of D and of A that some rows of a use read, `own` counted from its first row and not
/// empty.
inline Range output_terms(const LayerUse& use, Range own) {
  return {own.begin * use.terms, own.end * use.terms};
}
inline Range input_terms(const LayerUse& use, Range own) {
  return {own.begin / use.rows_per_input * use.terms,
          ((own.end - 1) / use.rows_per_input + 1) * use.terms};
}

/// Whether every one of `parameters` numbers of these rows is written by exactly one use, which
/// then may write instead of add.
inline bool write_once(std::span<const LayerUse> uses, Range rows, std::int64_t parameters) {
  std::int64_t covered = 0;
  for (const LayerUse& use : uses) {
    if (rows.empty() || use.lookup || !covers(use, rows)) return false;
    if (use.bias_offset >= 0) covered += use.outputs;
    if (use.weight_offset >= 0) covered += use.outputs * use.inputs;
    for (const LayerUse* other = uses.data(); other != &use; ++other) {
      if (share_weight(*other, use) || share_bias(*other, use)) return false;
    }
  }
  return covered == parameters;
}

/// What an adjoint begins with: the factor of what g holds where a use writes to it. Where uses
/// overlap, or leave out some of g, that is 1, and g = b g was enqueued here.
inline double scale_adjoint(ArrayOperations& arrays, const RowBatch& rows, double b,
                            const View& g) {
  if (write_once(rows.blocks, {0, rows.rows()}, g.size())) return b;
  if (b == 0)
    arrays.fill(0, g);
  else if (b != 1)
    arrays.axpby(0.0, g, b, g);
  return 1;
}

}  // namespace natgrad
