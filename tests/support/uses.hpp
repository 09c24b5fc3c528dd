#pragma once

#include "natgrad/natgrad.hpp"
#include "support/device.hpp"
#include "support/layered_batch.hpp"
#include "support/plain.hpp"

#include <cstddef>
#include <cstdint>
#include <vector>

namespace natgrad::tests {

/// One use of a weight, with its bias, in every shape that rows may have.
struct Use {
  std::int64_t inputs = 1;  // 0: the bias alone
  std::int64_t outputs = 1;
  std::int64_t terms = 1;
  std::int64_t rows_per_input = 1;
  int half = 0;      // of the rows of a set: 0 all, 1 the first half, 2 the second
  int same_as = -1;  // the use whose weight and bias these are
  Bias bias_terms = Bias::every_term;
};

/// Random parameters and rows of such layers, N of them, of which sets take any part. All memory is
/// the caller's own: of a context's allocator it takes nothing.
template <class T>
class UsedRows {
 public:
  UsedRows(std::vector<Use> uses, std::int64_t samples, std::uint64_t seed = 1,
           Context context = test_context())
      : parameters(std::move(context)), uses_(std::move(uses)) {
    Random random(seed);
    theta.reserve(2 * uses_.size());
    factors_.reserve(2 * uses_.size());
    for (const Use& use : uses_) {
      add_parameters(use, random);
      add_factors(use, samples, random);
    }
  }
  UsedRows(const UsedRows&) = delete;
  UsedRows& operator=(const UsedRows&) = delete;

  /// Begins `set` with rows [first, first + set.samples) of all.
  void fill(LayerScores& scores, const RowSet& set, std::int64_t first = 0) const {
    scores.begin(set);
    add(scores, 0, first, set.samples);
  }
  /// Adds rows [first, first + count) of all as rows [to, to + count) of a set that has begun.
  void add(LayerScores& scores, std::int64_t to, std::int64_t first, std::int64_t count) const {
    for (std::size_t i = 0; i < uses_.size(); ++i) {
      const Use& use = uses_[i];
      const std::int64_t skip = use.half == 2 ? count / 2 : 0;
      const std::int64_t rows = use.half == 0 ? count : count / 2;
      LayerScores::Layer layer = layers_[i];
      layer.rows = {.first = to + skip, .count = rows};
      layer.output_score =
          layer.output_score.row_range((first + skip) * use.terms, rows * use.terms);
      if (use.inputs > 0) {
        layer.input = layer.input.row_range((first + skip) / use.rows_per_input * use.terms,
                                            rows / use.rows_per_input * use.terms);
      }
      scores.add(layer);
    }
  }
  /// The layers as a plan knows them, of sets of N rows.
  std::vector<ScoresShape::Layer> shape(std::int64_t samples) const {
    std::vector<ScoresShape::Layer> layers;
    for (const Use& use : uses_) {
      layers.push_back({.inputs = use.inputs,
                        .outputs = use.outputs,
                        .terms = use.terms,
                        .rows = use.half == 0 ? 0 : samples / 2,
                        .rows_per_input = use.rows_per_input});
    }
    return layers;
  }
  Numbers theta_numbers() const {
    Numbers all;
    for (const Tensor<T>& tensor : theta) {
      const Numbers part = tensor.numbers();
      all.insert(all.end(), part.begin(), part.end());
    }
    return all;
  }

  Parameters parameters;
  std::vector<Tensor<T>> theta;  // one a segment

 private:
  static std::size_t size(std::int64_t count) { return static_cast<std::size_t>(count); }

  void add_parameters(const Use& use, Random& random) {
    LayerScores::Layer layer{
        .terms = use.terms, .bias_terms = use.bias_terms, .rows_per_input = use.rows_per_input};
    if (use.same_as >= 0) {
      layer.weight = layers_[size(use.same_as)].weight;
      layer.bias = layers_[size(use.same_as)].bias;
      layers_.push_back(layer);
      return;
    }
    if (use.inputs > 0) {
      theta.emplace_back(random.table(size(use.outputs), size(use.inputs)));
      layer.weight = parameters.add(theta.back().view());
    }
    theta.emplace_back(random.numbers(size(use.outputs)));
    layer.bias = parameters.add(theta.back().view());
    layers_.push_back(layer);
  }

  void add_factors(const Use& use, std::int64_t samples, Random& random) {
    factors_.emplace_back(random.table(size(samples * use.terms), size(use.outputs)));
    layers_.back().output_score = factors_.back().view();
    if (use.inputs == 0) return;
    factors_.emplace_back(
        random.table(size(samples / use.rows_per_input * use.terms), size(use.inputs)));
    layers_.back().input = factors_.back().view();
  }

  std::vector<Use> uses_;
  std::vector<LayerScores::Layer> layers_;  // with views of all rows
  std::vector<Tensor<T>> factors_;
};

}  // namespace natgrad::tests
