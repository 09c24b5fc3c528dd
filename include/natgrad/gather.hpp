#pragma once

#include "natgrad/array.hpp"
#include "natgrad/context.hpp"
#include "natgrad/export.hpp"

namespace natgrad {

/// Copies the rows of an array that a list names: to[i] = from[rows[i]], as a training loop picks a
/// batch out of its data. `from`: (M, k) of any type. `rows`: (n) contiguous int32, each within
/// [0, M); a row outside is not noticed. `to`: (n, k) of the type of `from`. All three lie on the
/// context's device. Costs one copy of n k numbers. Does not wait. Throws `ArgumentError` for a
/// missing operand, `ShapeError`, `TypeError` and `DeviceError` for one that does not fit.
NATGRAD_EXPORT void gather_rows(const Context& context, const ConstView& from,
                                const ConstView& rows, const View& to);

}  // namespace natgrad
