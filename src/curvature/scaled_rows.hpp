#pragma once

#include "backend/backend.hpp"
#include "core/arena.hpp"
#include "curvature/curvature.hpp"
#include "curvature/damping_units.hpp"

#include <cstdint>
#include <span>
#include <vector>

namespace natgrad::detail {

/// Copies of the factors of rows with their columns in the damping's units, S D^-1/2, for their
/// Gram matrix; of its type, so that one in double is of rows that were not rounded again. A
/// layer's output scores take the unit of its bias, and its inputs that of its weight over that;
/// rows without layers take theirs column by column. N sum(T (d_in + d_out)) numbers, and one pass
/// over them.
class ScaledRows {
 public:
  explicit ScaledRows(Backend& backend) : backend_(backend) {}

  /// `type`: of the factors, `copied_type`: of the copies; `columns`: P for units of parameters,
  /// else 0.
  void layout(Carver& carver, std::span<const LayerUse> uses, ElementType type,
              ElementType copied_type, std::int64_t columns);
  void load(const RowBatch& rows, const BatchShape& shape, const DampingUnits& units);

  /// Valid until the next `layout` of other uses; with the scale and mode of the rows given.
  RowBatch rows(const RowBatch& unscaled) const { return {uses_, unscaled.scale, unscaled.mode}; }

 private:
  void load_outputs(const LayerUse& use, const View& to, const BatchShape& shape,
                    const DampingUnits& units) const;

  struct Factors {
    View input;
    View output_score;
  };

  Backend& backend_;
  std::vector<Factors> factors_;  // one a use; none where the use's own serve
  std::vector<LayerUse> uses_;
  View columns_;  // (P) D^-1/2 by parameter, of the copies' type
};

}  // namespace natgrad::detail
