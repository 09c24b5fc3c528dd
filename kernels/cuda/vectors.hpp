#pragma once

#include "kernels/cuda/launch.hpp"
#include "kernels/formulas/updated_tensor.hpp"
#include "natgrad/array.hpp"

#include <cstdint>
#include <span>

// The update of parameters (src/backend/step.hpp), enqueued on a stream. Views are of that stream's
// device.

namespace natgrad::kernels {

/// Whether the current device can run the kernels of this build.
cudaError_t loadable();

/// Many tensors by one launch: a step has few numbers in most of them.
void check_update(Stream stream, std::span<const UpdatedTensor> tensors, DeviceScalar rate,
                  DeviceScalar shrink, const View& finite);
void update(Stream stream, DeviceScalar accept, std::span<const UpdatedTensor> tensors,
            DeviceScalar rate, DeviceScalar shrink);

}  // namespace natgrad::kernels
