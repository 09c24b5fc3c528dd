#pragma once

#include "kernels/cuda/launch.hpp"
#include "natgrad/array.hpp"
#include "natgrad/types.hpp"

#include <cstdint>

// Activations and output distributions of the seam (src/backend/backend.hpp says what each does),
// enqueued on a stream. `partials`: `partial_count` doubles of scratch.

namespace natgrad::kernels {

void bias_activation(Stream stream, Activation activation, const ConstView& bias, const View& z,
                     const View& a);
void activation_backward(Stream stream, Activation activation, const ConstView& z,
                         const ConstView& a, const View& delta);
void categorical_score(Stream stream, const ConstView& z, const ConstView& labels,
                       const View& score);
void sample_categorical(Stream stream, const ConstView& z, std::uint64_t key, std::int64_t draws,
                        const View& counter, const View& labels);
void categorical_log_likelihood(Stream stream, const ConstView& z, const ConstView& labels,
                                const View& log_p);
void categorical_evaluate(Stream stream, const ConstView& z, const ConstView& labels,
                          const View& result, double* partials);

}  // namespace natgrad::kernels
