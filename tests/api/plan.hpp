#pragma once

#include "natgrad/natgrad.hpp"
#include "support/counter.hpp"
#include "support/layered_batch.hpp"
#include "support/plain.hpp"
#include "support/uses.hpp"

#include <algorithm>
#include <cstdint>
#include <vector>

namespace natgrad::tests {

using Options = NaturalGradient::Options;
using Source = ScoresShape::Source;

constexpr std::int64_t samples = 24;  // of a set

const std::vector<Use> net = {{.inputs = 5, .outputs = 4}, {.inputs = 4, .outputs = 3}};
const std::vector<Use> convolution = {
    {.inputs = 3, .outputs = 5, .terms = 7},
    {.inputs = 5, .outputs = 2, .terms = 3, .bias_terms = Bias::first_term},
    {.inputs = 0, .outputs = 4}};
const std::vector<Use> drawn = {{.inputs = 6, .outputs = 3, .rows_per_input = 3},
                                {.inputs = 3, .outputs = 2, .rows_per_input = 3}};
const std::vector<Use> interior_and_boundary = {
    {.inputs = 4, .outputs = 3, .terms = 5, .half = 1, .bias_terms = Bias::first_term},
    {.inputs = 4, .outputs = 3, .half = 2, .same_as = 0},
    {.inputs = 3, .outputs = 2, .terms = 2}};
const std::vector<Use> tied = {{.inputs = 4, .outputs = 4},
                               {.inputs = 4, .outputs = 4, .same_as = 0}};
// More columns than a tile of formed rows has, and layers of which apply's buffers are the largest.
const std::vector<Use> wide = {{.inputs = 700, .outputs = 3}, {.inputs = 3, .outputs = 600}};

struct Plan {
  const char* name;
  Options options = {};
  ElementType type = ElementType::float32;
  std::vector<Use> uses = net;
  Source source = Source::rows;
  Centering centering = Centering::none;
  bool dense = false;
  std::int64_t batch = samples;  // larger: it comes in parts
};

/// What one step of a plan is taken from, and the context whose memory is counted.
template <class T>
struct Work {
  explicit Work(const Plan& given)
      : plan(given),
        rows(plan.uses, samples, 1, Context::cpu({.allocator = counter.allocator()})),
        others(of_inputs(plan.uses), samples, 2),
        formed(Random(3).table(samples, static_cast<std::size_t>(rows.parameters.size()))),
        numbers(Random(4).numbers(static_cast<std::size_t>(rows.parameters.size()))),
        coefficients(Random(5).numbers(samples)),
        layers(rows.parameters, {.kind = kind()}),
        other_layers(rows.parameters),
        dense(rows.parameters, {.kind = kind()}) {}

  /// Centring for the Fisher alone goes with maximum likelihood, of empirical rows.
  FisherKind kind() const {
    return plan.centering == Centering::fisher_only ? FisherKind::empirical : FisherKind::exact;
  }

  /// The gradient's rows: one for each input.
  static std::vector<Use> of_inputs(std::vector<Use> uses) {
    for (Use& use : uses) use.rows_per_input = 1;
    return uses;
  }
  std::int64_t per_input() const { return plan.uses.front().rows_per_input; }
  const Scores& fisher() const {
    if (plan.dense) return dense;
    return layers;
  }
  Batch batch(std::int64_t count, std::int64_t whole) {
    RowSet set{.samples = count, .batch_samples = whole, .centering = plan.centering};
    if (plan.centering != Centering::fisher_only && plan.source == Source::rows) {
      set.coefficients = coefficients.view().row_range(0, count);
    }
    if (plan.dense)
      dense.begin(formed.view().row_range(0, count), set);
    else
      rows.fill(layers, set);
    // Losses that fall, and a divergence of nothing.
    const BatchFunction loss = [this](const View& result) {
      *result.as<double>() = falling -= 1e6;
    };
    const BatchFunction kl = [](const View& result) { *result.as<double>() = 0; };
    if (plan.source == Source::rows) return {.fisher = fisher(), .loss = loss, .kl = kl};
    if (plan.source == Source::numbers) {
      return {.fisher = fisher(), .gradient = Gradient{numbers.view()}, .loss = loss, .kl = kl};
    }
    others.fill(other_layers,
                {.samples = count / per_input(), .batch_samples = whole / per_input()});
    return {.fisher = fisher(), .gradient = other_layers, .loss = loss, .kl = kl};
  }
  /// A step of `whole` rows in sets of at most `most`.
  void step(NaturalGradient& optimizer, std::int64_t whole, std::int64_t most) {
    if (whole <= most) return optimizer.step(batch(whole, whole));
    for (std::int64_t first = 0; first < whole; first += most) {
      optimizer.accumulate(batch(std::min(most, whole - first), whole));
    }
    optimizer.step();
  }
  ScoresShape shape() const {
    return {.samples = samples,
            .batch_samples = plan.batch,
            .layers = plan.dense ? std::vector<ScoresShape::Layer>{} : rows.shape(samples),
            .gradient = plan.source,
            .centering = plan.centering};
  }
  bool freezes() const {
    bool any = false;
    for (const SegmentFactor& f : plan.options.rate_factors) any = any || f.factor == 0;
    return any;
  }

  Plan plan;
  Counter counter;
  UsedRows<T> rows;
  UsedRows<T> others;  // for their factors alone
  Tensor<T> formed;
  Tensor<T> numbers;
  Tensor<T> coefficients;
  LayerScores layers;
  LayerScores other_layers;
  DenseScores dense;
  double falling = 0;
};

}  // namespace natgrad::tests
