#pragma once

#include "backend/backend.hpp"

#include <algorithm>
#include <cstdint>

namespace natgrad::detail {

/// F = S^T S + beta F in the lower triangle of F (P, P), float64, from at most tile.rows() rows
/// formed at a time in `tile` (rows, P), float64. N P^2 operations.
inline void accumulate_primal(Backend& backend, const RowBlocks& rows, double beta,
                              const View& tile, const View& F) {
  for (std::int64_t first = 0; first < rows.rows(); first += tile.rows()) {
    const View part = tile.row_range(0, std::min(tile.rows(), rows.rows() - first));
    backend.materialize(rows, first, part);
    backend.syrk(Triangle::lower, Transpose::yes, 1, part, first == 0 ? beta : 1, F);
  }
}

}  // namespace natgrad::detail
