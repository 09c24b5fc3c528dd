#pragma once

#include "natgrad/natgrad.hpp"
#include "support/device.hpp"
#include "support/layered_batch.hpp"
#include "support/numeric_layer.hpp"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <vector>

namespace natgrad::tests {

/// Tensors with numbers of their own, in double, as the parameters of a plain model.
struct ModelParameters {
  std::deque<Tensor<double>> theta;  // in place: views point into them
  Parameters parameters;

  ModelParameters(const std::vector<TensorShape>& tensors, const Numbers& numbers)
      : parameters(test_context()) {
    const std::vector<std::size_t> at = offsets_of(tensors);
    for (std::size_t i = 0; i < tensors.size(); ++i) {
      Table values(tensors[i].rows, tensors[i].columns);
      for (std::size_t j = 0; j < values.elements.size(); ++j) {
        values.elements[j] = numbers[at[i] + j];
      }
      parameters.add(theta.emplace_back(values, i % 2).view());
    }
  }
  ModelParameters(const ModelParameters&) = delete;
  ModelParameters& operator=(const ModelParameters&) = delete;

  Numbers numbers() const {
    Numbers all;
    for (const Tensor<double>& tensor : theta) {
      const Numbers part = tensor.numbers();
      all.insert(all.end(), part.begin(), part.end());
    }
    return all;
  }
};

/// A set of layers that holds the memory of their factors.
struct UseScores {
  std::deque<Tensor<double>> factors;
  LayerScores scores;

  UseScores(const Parameters& parameters, const std::vector<NumericLayer>& uses, const RowSet& set)
      : scores(parameters) {
    scores.begin(set);
    for (const NumericLayer& use : uses) add(use);
  }
  UseScores(const UseScores&) = delete;
  UseScores& operator=(const UseScores&) = delete;

  void add(const NumericLayer& use) {
    LayerScores::Layer layer{
        .weight = {use.weight},
        .bias = {use.bias},
        .terms = static_cast<std::int64_t>(use.terms),
        .bias_terms = use.bias_first_term ? Bias::first_term : Bias::every_term,
        .rows = {.first = static_cast<std::int64_t>(use.first),
                 .count = static_cast<std::int64_t>(use.rows())},
        .rows_per_input = use.weight < 0 ? 1 : static_cast<std::int64_t>(use.rows_per_input)};
    if (use.weight >= 0) layer.input = factors.emplace_back(use.input, 1).view();
    layer.output_score = factors.emplace_back(use.output_score, 2).view();
    scores.add(layer);
  }
};

}  // namespace natgrad::tests
