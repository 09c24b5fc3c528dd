#pragma once

#include "kernels/cuda/launch.hpp"
#include "natgrad/array.hpp"
#include "natgrad/types.hpp"

#include <cstdint>

namespace natgrad {

enum class Likelihood : std::uint8_t;  // kernels/formulas/likelihoods/table.hpp

namespace kernels {

// The model operations of the backend interface (src/backend/models.hpp says what each does),
// enqueued on a stream. `partials`: `partial_count` doubles of scratch.

void bias_activation(Stream stream, Activation activation, const ConstView& bias, const View& z,
                     const View& a);
void activation_backward(Stream stream, Activation activation, const ConstView& z,
                         const ConstView& a, const View& delta);
void likelihood_score(Stream stream, Likelihood likelihood, const ConstView& z,
                      const ConstView& targets, const View& score);
void likelihood_sample(Stream stream, Likelihood likelihood, const ConstView& z, std::uint64_t key,
                       std::int64_t draws, const View& counter, const View& targets);
void log_likelihood(Stream stream, Likelihood likelihood, const ConstView& z,
                    const ConstView& targets, const View& log_p);
void likelihood_evaluate(Stream stream, Likelihood likelihood, const ConstView& z,
                         const ConstView& targets, const View& result, double* partials);

}  // namespace kernels

}  // namespace natgrad
