#pragma once

#include "backend/row_uses.hpp"

#include <algorithm>
#include <cstdint>

// The Gram K = S S^T of rows that are sums of outer products, as far as it is the same on every
// backend. Each use of a layer has one of two ways.
//
// Materialized: the columns of S that belong to its parameters are written out, some at a time, and
// K += R R^T by a symmetric product, R (n, columns). Uses that share a parameter add to the same
// columns, so that each parameter is taken once, with all of its uses.
//
// Pairwise: of the factors of every two rows,
//
//   K_nm += sum_ts (A_nt . A_ms + bias) (D_nt . D_ms)
//
// over all ordered pairs of uses that share a parameter, a use and itself among them.

namespace natgrad {

inline bool any_materialized(const RowBatch& rows) {
  return std::any_of(rows.blocks.begin(), rows.blocks.end(),
                     [](const LayerUse& use) { return use.materialized; });
}
inline bool any_pairwise(const RowBatch& rows) {
  return std::any_of(rows.blocks.begin(), rows.blocks.end(),
                     [](const LayerUse& use) { return !use.materialized; });
}

/// Calls body(left, right) for the pairs of uses of the second way.
template <class Body>
void for_each_pair(const RowBatch& rows, const Body& body) {
  for (const LayerUse& left : rows.blocks) {
    if (left.materialized) continue;
    for (const LayerUse& right : rows.blocks) {
      if (share_weight(left, right) || share_bias(left, right)) body(left, right);
    }
  }
}

/// Columns of S that are materialized at once: those of a weight's outputs x inputs, row-major, as
/// it is stored (of a lookup inputs x outputs), or of outputs of a bias, whose input is the number
/// 1.
struct MaterializedColumns {
  std::int64_t offset;  // of the parameter
  bool bias;
  Range outputs;
  Range inputs;
  Range rows;         // the hull of the rows of all their uses
  std::int64_t uses;  // that are not empty; where it is one, it may write instead of add
  std::int64_t count() const { return outputs.size() * inputs.size(); }
  bool used_by(const LayerUse& use) const {
    return use.rows > 0 && (bias ? use.bias_offset : use.weight_offset) == offset;
  }
};

namespace detail {

/// Whether an earlier use has the same parameter.
inline bool is_repeated(const RowBatch& rows, const LayerUse& use, bool bias) {
  for (const LayerUse* other = rows.blocks.data(); other != &use; ++other) {
    if (bias ? share_bias(*other, use) : share_weight(*other, use)) return true;
  }
  return false;
}

/// Whether the columns of a bias are rows of D as they are stored.
inline bool is_stored(const RowBatch& rows, const LayerUse& use) {
  return (use.terms == 1 || use.bias_first_term) &&
         std::none_of(rows.blocks.begin(), rows.blocks.end(), [&](const LayerUse& other) {
           return &other != &use && share_bias(other, use);
         });
}

/// All columns of one parameter, at most `most` at a time.
template <class Body>
void for_each_columns(const RowBatch& rows, const LayerUse& use, bool bias, std::int64_t most,
                      const Body& body) {
  MaterializedColumns columns{.offset = bias ? use.bias_offset : use.weight_offset,
                              .bias = bias,
                              .outputs = {},
                              .inputs = {},
                              .rows = {rows.rows(), 0},
                              .uses = 0};
  for (const LayerUse& other : rows.blocks) {
    if (!columns.used_by(other)) continue;
    columns.rows = {std::min(columns.rows.begin, other.first),
                    std::max(columns.rows.end, other.first + other.rows)};
    ++columns.uses;
  }
  const Shape shape = bias ? Shape{use.outputs, 1} : use.weight_shape();
  const std::int64_t all_inputs = shape.columns;
  if (columns.rows.empty() || all_inputs == 0) return;
  const std::int64_t inputs = std::min(all_inputs, most);
  for_each_piece({0, shape.rows}, most / inputs, [&](Range some_outputs) {
    for_each_piece({0, all_inputs}, inputs, [&](Range some_inputs) {
      columns.outputs = some_outputs;
      columns.inputs = some_inputs;
      body(columns);
    });
  });
}

}  // namespace detail

/// Goes through the parameters of the first way: by(columns) for at most `most` columns at a time,
/// or stored(use) where the columns of a bias are D itself, whose product needs no copy.
/// `converts`: D is of another type than K, so that there is always a copy.
template <class ByColumns, class Stored>
void for_each_materialized(const RowBatch& rows, std::int64_t most, bool converts,
                           const ByColumns& by_columns, const Stored& stored) {
  for (const LayerUse& use : rows.blocks) {
    if (!use.materialized) continue;
    if (use.weight_offset >= 0 && !detail::is_repeated(rows, use, false)) {
      detail::for_each_columns(rows, use, false, most, by_columns);
    }
    if (use.bias_offset < 0 || detail::is_repeated(rows, use, true)) continue;
    if (!converts && detail::is_stored(rows, use))
      stored(use);
    else
      detail::for_each_columns(rows, use, true, most, by_columns);
  }
}

}  // namespace natgrad
