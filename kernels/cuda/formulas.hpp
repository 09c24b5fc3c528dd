#pragma once

#include "kernels/cuda/launch.hpp"
#include "kernels/formulas/scalar_formulas.hpp"
#include "natgrad/array.hpp"

// Scalars of a solve and a step (src/backend/step.hpp says what each does), enqueued on a stream.

namespace natgrad::kernels {

/// By one thread. The formula's addresses are of that stream's device.
void evaluate(Stream stream, const ScalarFormula& formula);
/// The first number is written last, for the host reads the slot while the stream goes on.
void publish(Stream stream, const ConstView& record, const View& slots);

}  // namespace natgrad::kernels
