#pragma once

#include "natgrad/natgrad.hpp"
#include "scores/score_set.hpp"
#include "support/device.hpp"
#include "support/layered_batch.hpp"
#include "support/plain.hpp"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace natgrad::tests {

using Labels = SharedVector<std::int32_t>;

inline View view_of(Labels& labels) {
  return shared_view(labels, {static_cast<std::int64_t>(labels.size()), 1});
}

/// log p of all classes, from the net's outputs.
inline Table log_probabilities(const FullyConnected& net) {
  const ConstView outputs = net.outputs();
  const Numbers elements = host_copy<double>(net.parameters().context(), outputs);
  Table log_p(static_cast<std::size_t>(outputs.rows()),
              static_cast<std::size_t>(outputs.columns()));
  for (std::size_t n = 0; n < log_p.rows; ++n) {
    const double* z = elements.data() + n * log_p.columns;
    double total = 0;
    for (std::size_t c = 0; c < log_p.columns; ++c) total += std::exp(z[c]);
    for (std::size_t c = 0; c < log_p.columns; ++c) log_p(n, c) = z[c] - std::log(total);
  }
  return log_p;
}

/// A double net at random parameters, biases included, that has seen random inputs and labels.
struct SoftmaxNet {
  FullyConnected net;
  std::size_t samples;
  std::size_t classes;
  Tensor<double> inputs;
  Labels labels;

  SoftmaxNet(std::vector<std::int64_t> sizes, std::size_t samples_wanted,
             Activation activation = Activation::tanh, std::uint64_t key = 3)
      : net(test_context(), {.sizes = sizes,
                             .activation = activation,
                             .type = ElementType::float64,
                             .sampling_key = key}),
        samples(samples_wanted),
        classes(static_cast<std::size_t>(sizes.back())) {
    Random random(7);
    Tensor<double> theta(random.numbers(size()));
    net.parameters().scatter(theta.view());
    inputs = Tensor<double>(random.table(samples, static_cast<std::size_t>(sizes.front())));
    for (std::size_t n = 0; n < samples; ++n) {
      labels.push_back(static_cast<std::int32_t>(n % classes));
    }
    net.forward(inputs.view());
    net.backward(view_of(labels));
  }

  std::size_t size() const { return static_cast<std::size_t>(net.parameters().size()); }
  std::int64_t rows() const { return static_cast<std::int64_t>(samples); }

  Numbers theta() const {
    Tensor<double> values = zeros<double>(net.parameters().size());
    net.parameters().gather(values.view());
    return values.numbers();
  }
  LayerScores data() const {
    LayerScores scores(net.parameters());
    net.add_to(scores, {.samples = rows()});
    return scores;
  }
  LayerScores sampled(std::int64_t draws) {
    net.sample(draws);
    LayerScores scores(net.parameters(), {.kind = FisherKind::sampled});
    net.add_sampled_to(scores, {.samples = rows() * draws});
    return scores;
  }
};

/// The Fisher itself: a row for every sample and class, whose weight is the class's probability.
class ExactRows {
 public:
  explicit ExactRows(SoftmaxNet& model)
      : scores_(model.net.parameters(), {.kind = FisherKind::exact}) {
    const Table log_p = log_probabilities(model.net);
    const std::size_t classes = model.classes;
    Numbers weights(model.samples * classes);
    std::vector<ConstView> inputs;
    for (std::size_t c = 0; c < classes; ++c) {
      Labels labels(model.samples, static_cast<std::int32_t>(c));
      model.net.backward(view_of(labels));
      const LayerScores of_class = model.data();
      inputs.clear();
      for (const LayerUse& block : of_class.rows().blocks().blocks) {
        const auto outputs = static_cast<std::size_t>(block.outputs);
        if (c == 0) factors_.emplace_back(Table(model.samples * classes, outputs));
        const Numbers score =
            host_copy<double>(model.net.parameters().context(), block.output_score);
        for (std::size_t n = 0; n < model.samples; ++n) {
          for (std::size_t o = 0; o < outputs; ++o) {
            factors_[inputs.size()](n * classes + c, o) = score[n * outputs + o];
          }
        }
        inputs.push_back(block.input);
      }
      for (std::size_t n = 0; n < model.samples; ++n) {
        weights[n * classes + c] = std::exp(log_p(n, c)) / static_cast<double>(model.samples);
      }
    }
    model.net.backward(view_of(model.labels));
    weights_ = Tensor<double>(weights);
    scores_.begin(
        {.samples = static_cast<std::int64_t>(weights.size()), .weights = weights_.view()});
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      scores_.add({.weight = {static_cast<int>(2 * i)},
                   .bias = {static_cast<int>(2 * i + 1)},
                   .input = inputs[i],
                   .output_score = factors_[i].view(),
                   .rows_per_input = static_cast<std::int64_t>(classes)});
    }
  }
  ExactRows(const ExactRows&) = delete;
  ExactRows& operator=(const ExactRows&) = delete;

  const LayerScores& scores() const { return scores_; }

 private:
  std::vector<Tensor<double>> factors_;
  Tensor<double> weights_;
  LayerScores scores_;
};

/// F of some rows, (P, P).
inline Table fisher_of(const Scores& scores) {
  FisherMatrix fisher(scores.parameters(), {.form = Form::primal});
  fisher.accumulate(scores);
  const auto size = static_cast<std::size_t>(fisher.size());
  Tensor<double> matrix(Table(size, size));
  fisher.to_dense(matrix.view());
  return matrix.table();
}

}  // namespace natgrad::tests
