#pragma once

#include "curvature/curvature.hpp"
#include "natgrad/context.hpp"
#include "scores/row_store.hpp"

#include <algorithm>
#include <cstdint>

namespace natgrad::detail {

/// Rows of a store, materialized some at a time in the context's scratch, centred where they are.
/// The mean may be far larger than what is left: it is taken out in double, before anything is
/// squared or rounded to `type`.
class RowTiles {
 public:
  RowTiles(const Context& context, const RowStore& store, const BatchShape& shape,
           const CurvatureOptions& options, ElementType type);

  /// Calls body(tile) for all rows; tile (n, P).
  template <class Body>
  void for_each(const Body& body) const {
    for (std::int64_t first = 0; first < store_.size(); first += b_.tile.rows()) {
      body(form(first, std::min(b_.tile.rows(), store_.size() - first)));
    }
  }

 private:
  struct Buffers {
    View tile;       // (n, P)
    View tile_real;  // centred: the same in float64
    View mean;       // centred: q / |u| (P) with q = S^T u; float64
    View roots;      // centred: u / |u| (N) float64
    View unused;     // centred: (N) float64
    View centering;  // a CenteringScalars
    Scratch work;
    Buffers(Carver& carver, Shape tile_shape, std::int64_t rows, ElementType type, bool centred,
            std::int64_t work_bytes);
  };

  View form(std::int64_t first, std::int64_t count) const;
  void load_mean();

  Backend& backend_;
  const RowStore& store_;
  std::int64_t parameters_;
  bool centred_;
  Buffers b_;
};

}  // namespace natgrad::detail
