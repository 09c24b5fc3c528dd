#pragma once

#include "kernels/cuda/launch.hpp"
#include "kernels/formulas/likelihoods/output_distribution.hpp"
#include "natgrad/array.hpp"
#include "natgrad/types.hpp"

#include <cstdint>

namespace natgrad::kernels {

// The model operations of the backend interface (src/backend/models.hpp says what each does),
// enqueued on a stream. `partials`: `partial_count` doubles of scratch.

void bias_activation(Stream stream, Activation activation, const ConstView& bias, const View& z,
                     const View& a);
void activation_backward(Stream stream, Activation activation, const ConstView& z,
                         const ConstView& a, const View& delta);
void likelihood_score(Stream stream, const OutputDistribution& distribution, const ConstView& z,
                      const ConstView& targets, const View& score);
void likelihood_sample(Stream stream, const OutputDistribution& distribution, const ConstView& z,
                       std::uint64_t key, std::int64_t draws, const View& counter,
                       const View& targets);
void log_likelihood(Stream stream, const OutputDistribution& distribution, const ConstView& z,
                    const ConstView& targets, const View& log_p);
void likelihood_evaluate(Stream stream, const OutputDistribution& distribution, const ConstView& z,
                         const ConstView& targets, const View& result, double* partials);
void likelihood_exact(Stream stream, const OutputDistribution& distribution, const ConstView& z,
                      const ConstView& targets, const View& rows, const View& r);
void likelihood_kl(Stream stream, const OutputDistribution& distribution, const ConstView& z,
                   const ConstView& now, const View& kl);

}  // namespace natgrad::kernels
