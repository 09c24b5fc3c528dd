#pragma once

#include "natgrad/natgrad.hpp"
#include "support/layered_batch.hpp"
#include "support/loop.hpp"
#include "support/plain.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace natgrad::tests {

template <class T>
void expect_same_bits(const LayeredBatch<T>& a, const LayeredBatch<T>& b) {
  const auto expected = b.theta_memory();
  const auto actual = a.theta_memory();
  ASSERT_EQ(actual.size(), expected.size());
  for (std::size_t i = 0; i < actual.size(); ++i) {
    EXPECT_TRUE(same_bits(actual[i], expected[i])) << "tensor " << i;
  }
}

/// One way to take steps from 41 rows, all at once or in parts.
struct Parted {
  Options options;
  ScoresShape::Source source = ScoresShape::Source::rows;
  Centering centering = Centering::none;
};

struct PartedTraining {
  static constexpr std::size_t samples = 41;
  Parted setup;
  LayeredBatch<double> batch{{.layers = layers, .samples = samples, .seed = 7}};
  LayeredBatch<double> other{{.layers = layers, .samples = samples, .seed = 8}};
  Random random{9};
  Tensor<double> weights{Numbers(samples, 0)};
  Tensor<double> coefficients{Numbers(samples, 0)};
  Tensor<double> numbers{Numbers(23, 0)};
  Tensor<double> share{Numbers(23, 0)};
  LayerScores scores;
  LayerScores gradient{batch.parameters};
  NaturalGradient optimizer;

  explicit PartedTraining(const Parted& given)
      : setup(given),
        scores(batch.parameters,
               {.kind = given.centering == Centering::fisher_only ? FisherKind::empirical
                                                                  : FisherKind::exact}),
        optimizer(batch.parameters, given.options) {}

  /// New weights, coefficients and gradient for the next step.
  void draw() {
    for (std::size_t n = 0; n < samples; ++n) {
      weights(n) = std::abs(random()) / samples;
      coefficients(n) = random();
    }
    for (std::size_t i = 0; i < 23; ++i) numbers(i) = random();
  }
  Batch part(std::int64_t first, std::int64_t count) {
    RowSet set{.samples = count,
               .batch_samples = samples,
               .weights = weights.view().row_range(first, count),
               .centering = setup.centering};
    RowSet others = set;
    if (setup.centering != Centering::fisher_only) {
      set.coefficients = coefficients.view().row_range(first, count);
    }
    batch.fill(scores, set, first);
    if (setup.source == ScoresShape::Source::rows) return {.fisher = scores};
    if (setup.source == ScoresShape::Source::numbers) {
      // A part's share of the sum.
      for (std::size_t i = 0; i < 23; ++i) {
        share(i) = numbers(i) * static_cast<double>(count) / samples;
      }
      return {.fisher = scores, .gradient = Gradient{share.view(), -2}};
    }
    others.centering = Centering::none;
    others.coefficients = coefficients.view().row_range(first, count);
    gradient.begin(others);
    for (LayerScores::Layer layer : other.layers) {
      if (!layer.input.empty()) layer.input = layer.input.row_range(first, count);
      layer.output_score = layer.output_score.row_range(first, count);
      gradient.add(layer);
    }
    return {.fisher = scores, .gradient = gradient};
  }
  void accumulate(const std::vector<std::int64_t>& parts) {
    std::int64_t first = 0;
    for (std::int64_t count : parts) {
      optimizer.accumulate(part(first, count));
      first += count;
    }
  }
};

}  // namespace natgrad::tests
