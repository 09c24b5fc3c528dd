#pragma once

#include "backend/backend.hpp"
#include "natgrad/memory_plan.hpp"
#include "natgrad/parameters.hpp"
#include "optimizer/active_parameters.hpp"

#include <cstdint>
#include <vector>

namespace natgrad::detail {

/// The uses of a shape's layers, without views and parameters; dense rows are one use of all.
/// `one_row_an_input`: those of the gradient's rows.
std::vector<LayerUse> planned_uses(const ScoresShape& shape, std::int64_t rows,
                                   std::int64_t parameters, bool one_row_an_input);

/// Gives planned uses parameters, which a shape does not name, in the order of both: a layer takes
/// the next segment of shape (outputs, inputs), and the one behind as its bias where that has
/// `outputs` numbers; without inputs the next segment of `outputs` numbers. Behind the last segment
/// comes the first again, so that one weight serves two layers where there is no other. Frozen
/// segments count where no other fits, and leave the use without that part. Throws `ShapeError` for
/// a layer that no segment fits.
void name_parameters(std::vector<LayerUse>& uses, const Parameters& parameters,
                     const ActiveParameters& active);

}  // namespace natgrad::detail
