#pragma once

#include "natgrad/natgrad.hpp"
#include "support/device.hpp"
#include "support/plain.hpp"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <vector>

namespace natgrad::tests {

/// A caller's array in memory that host and device both reach; what the host does with it waits for
/// the device. Between its rows lie `padding` elements that are NaN, so that reading one shows.
template <class T>
class Tensor {
 public:
  Tensor() = default;
  explicit Tensor(const Table& values, std::size_t padding = 0)
      : rows_(values.rows),
        columns_(values.columns),
        stride_(values.columns + padding),
        elements_(values.rows * stride_, std::numeric_limits<T>::quiet_NaN()) {
    for (std::size_t i = 0; i < rows_; ++i) {
      for (std::size_t j = 0; j < columns_; ++j) {
        elements_[i * stride_ + j] = static_cast<T>(values(i, j));
      }
    }
  }
  explicit Tensor(const Numbers& values) : Tensor(column(values)) {}
  Tensor(const Tensor& other) { *this = other; }
  Tensor& operator=(const Tensor& other) {
    synchronize_device();
    rows_ = other.rows_;
    columns_ = other.columns_;
    stride_ = other.stride_;
    elements_ = other.elements_;
    return *this;
  }
  Tensor(Tensor&&) noexcept = default;
  Tensor& operator=(Tensor&&) noexcept = default;

  T& operator()(std::size_t i, std::size_t j = 0) {
    synchronize_device();
    return elements_[i * stride_ + j];
  }
  View view() {
    return {elements_.data(),
            {static_cast<std::int64_t>(rows_), static_cast<std::int64_t>(columns_)},
            {.leading_dimension = static_cast<std::int64_t>(stride_), .device = test_device()}};
  }
  Table table() const {
    synchronize_device();
    Table values(rows_, columns_);
    for (std::size_t i = 0; i < rows_; ++i) {
      for (std::size_t j = 0; j < columns_; ++j) {
        values(i, j) = static_cast<double>(elements_[i * stride_ + j]);
      }
    }
    return values;
  }
  Numbers numbers() const { return table().elements; }
  /// All memory, padding included.
  std::vector<T> memory() const {
    synchronize_device();
    return {elements_.begin(), elements_.end()};
  }

 private:
  static Table column(const Numbers& values) {
    Table table(values.size(), 1);
    table.elements = values;
    return table;
  }
  std::size_t rows_ = 0;
  std::size_t columns_ = 0;
  std::size_t stride_ = 0;
  SharedVector<T> elements_;
};

template <class T>
Tensor<T> zeros(std::int64_t count) {
  return Tensor<T>(Numbers(static_cast<std::size_t>(count), 0.0));
}

/// Equality of bits, which NaN and -0 do not fool.
template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0;
}

struct LayerShape {
  std::size_t inputs = 1;  // 0: no weight, the block is its bias alone
  std::size_t outputs = 1;
  bool bias = true;
  bool covered = true;  // false: parameters of which the rows know nothing
};

struct BatchShape {
  std::vector<LayerShape> layers;
  std::size_t samples = 1;
  std::uint64_t seed = 1;
  std::size_t padding = 0;
};

/// Layers of random parameters with random inputs and output scores, and the same rows in plain
/// double: what `LayerScores` never forms.
template <class T>
class LayeredBatch {
 public:
  explicit LayeredBatch(const BatchShape& shape, Context context = test_context())
      : parameters(std::move(context)), samples(shape.samples) {
    Random random(shape.seed);
    // Views point into the tensors, which therefore must not move.
    theta.reserve(2 * shape.layers.size());
    factors.reserve(2 * shape.layers.size());
    for (const LayerShape& layer : shape.layers) add_parameters(layer, shape.padding, random);
    rows = Table(samples, static_cast<std::size_t>(parameters.size()));
    for (std::size_t i = 0; i < shape.layers.size(); ++i) {
      if (shape.layers[i].covered)
        add_factors(shape.layers[i], segments_[i], shape.padding, random);
    }
  }
  LayeredBatch(const LayeredBatch&) = delete;
  LayeredBatch& operator=(const LayeredBatch&) = delete;

  /// Begins `set` with samples [first, first + set.samples); all of them when that is 0.
  void fill(LayerScores& scores, RowSet set = {}, std::int64_t first = 0) const {
    if (set.samples == 0) set.samples = static_cast<std::int64_t>(samples);
    scores.begin(set);
    for (const LayerScores::Layer& layer : layers) {
      LayerScores::Layer part = layer;
      if (!part.input.empty()) part.input = part.input.row_range(first, set.samples);
      part.output_score = part.output_score.row_range(first, set.samples);
      scores.add(part);
    }
  }
  LayerScores scores(const RowSet& set = {}, LayerScores::Options options = {}) const {
    LayerScores scores(parameters, options);
    fill(scores, set);
    return scores;
  }
  Numbers theta_numbers() const {
    Numbers all;
    for (const Tensor<T>& tensor : theta) {
      const Numbers part = tensor.numbers();
      all.insert(all.end(), part.begin(), part.end());
    }
    return all;
  }
  std::vector<std::vector<T>> theta_memory() const {
    std::vector<std::vector<T>> memory;
    for (const Tensor<T>& tensor : theta) memory.push_back(tensor.memory());
    return memory;
  }
  Numbers uniform_weights() const { return Numbers(samples, 1.0 / static_cast<double>(samples)); }

  Parameters parameters;
  std::size_t samples;
  std::vector<Tensor<T>> theta;    // one a segment
  std::vector<Tensor<T>> factors;  // inputs and output scores
  std::vector<LayerScores::Layer> layers;
  Table rows;  // s_n (N, P)

 private:
  struct Pair {
    Segment weight;
    Segment bias;
  };

  void add_parameters(const LayerShape& layer, std::size_t padding, Random& random) {
    Pair pair;
    if (layer.inputs > 0) {
      theta.emplace_back(random.table(layer.outputs, layer.inputs), padding);
      pair.weight = parameters.add(theta.back().view());
    }
    if (layer.bias) {
      theta.emplace_back(random.table(layer.outputs, 1), padding);
      pair.bias = parameters.add(theta.back().view());
    }
    segments_.push_back(pair);
  }

  void add_factors(const LayerShape& layer, const Pair& pair, std::size_t padding, Random& random) {
    LayerScores::Layer views{.weight = pair.weight, .bias = pair.bias};
    Table input(samples, 0);
    if (layer.inputs > 0) {
      factors.emplace_back(random.table(samples, layer.inputs), padding);
      views.input = factors.back().view();
      input = factors.back().table();
    }
    factors.emplace_back(random.table(samples, layer.outputs), padding);
    views.output_score = factors.back().view();
    const Table output_score = factors.back().table();
    for (std::size_t n = 0; n < samples; ++n) {
      for (std::size_t o = 0; o < layer.outputs; ++o) {
        if (pair.bias) rows(n, offset(pair.bias) + o) = output_score(n, o);
        for (std::size_t i = 0; i < layer.inputs; ++i) {
          rows(n, offset(pair.weight) + o * layer.inputs + i) = output_score(n, o) * input(n, i);
        }
      }
    }
    layers.push_back(views);
  }

  std::size_t offset(Segment segment) const {
    return static_cast<std::size_t>(parameters.offset(segment));
  }

  std::vector<Pair> segments_;
};

}  // namespace natgrad::tests
