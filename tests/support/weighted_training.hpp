#pragma once

#include "natgrad/natgrad.hpp"
#include "support/layered_batch.hpp"
#include "support/loop.hpp"
#include "support/plain.hpp"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace natgrad::tests {

/// Batches with new weights and coefficients a step.
struct WeightedTraining {
  static constexpr std::size_t samples = 18;
  static constexpr std::size_t size = 23;  // of `layers`

  LayeredBatch<double> batch;
  Random random{6};
  Tensor<double> weights{Numbers(samples, 1)};
  Tensor<double> coefficients{Numbers(samples, 1)};
  Tensor<double> numbers{Numbers(size, 0)};
  LayerScores scores{batch.parameters, {.kind = FisherKind::exact}};
  NaturalGradient optimizer;

  explicit WeightedTraining(const Options& options, std::vector<LayerShape> net = layers)
      : batch({.layers = std::move(net), .samples = samples, .seed = 5}),
        optimizer(batch.parameters, options) {}

  void draw() {
    for (std::size_t n = 0; n < samples; ++n) {
      weights(n) = std::abs(random()) / samples;
      coefficients(n) = random();
    }
    for (std::size_t i = 0; i < size; ++i) numbers(i) = random();
  }
  const LayerScores& part(std::int64_t first, std::int64_t count) {
    batch.fill(scores,
               {.samples = count,
                .batch_samples = samples,
                .weights = weights.view().row_range(first, count),
                .coefficients = coefficients.view().row_range(first, count)},
               first);
    return scores;
  }
  void step(bool gradient_given, bool in_parts) {
    const auto taken = [&](const LayerScores& of, double scale) {
      if (!gradient_given) return Batch{.fisher = of};
      return Batch{.fisher = of, .gradient = Gradient{numbers.view(), scale}};
    };
    if (!in_parts) return optimizer.step(taken(part(0, samples), 1));
    // The parts of the gradient add up.
    optimizer.accumulate(taken(part(0, 5), 0.25));
    optimizer.accumulate(taken(part(5, samples - 5), 0.75));
    optimizer.step();
  }
  Table S() const { return weighted(batch.rows, weights.numbers()); }
  Numbers gradient(bool given) const {
    if (given) return numbers.numbers();
    return multiply(transposed(S()), right_hand_side(weights.numbers(), coefficients.numbers()));
  }
};

}  // namespace natgrad::tests
