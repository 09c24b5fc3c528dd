#pragma once

#include "kernels/cuda/launch.hpp"
#include "kernels/formulas/densities/density.hpp"
#include "natgrad/array.hpp"
#include "natgrad/types.hpp"

#include <cstdint>

namespace natgrad::kernels {

// The operations on densities of the backend interface (src/backend/densities.hpp says what each
// does), enqueued on a stream.

void density_log_p(Stream stream, DensityFamily family, const DensityAt& at, const ConstView& x,
                   const View& log_p);
void density_score(Stream stream, DensityFamily family, const DensityAt& at, const ConstView& x,
                   const ConstView& weights, const View& score);
void density_sample(Stream stream, DensityFamily family, const DensityAt& at, std::uint64_t key,
                    const View& counter, const View& x);

}  // namespace natgrad::kernels
