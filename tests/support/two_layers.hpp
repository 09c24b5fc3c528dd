#pragma once

#include "natgrad/natgrad.hpp"
#include "support/device.hpp"
#include "support/layered_batch.hpp"
#include "support/plain.hpp"

#include <cmath>
#include <cstddef>
#include <vector>

namespace natgrad::tests {

/// A caller's own model: y = W2 tanh(W1 x + b1) + b2 with Gaussian noise of variance 1. In plain
/// double whatever the parameters' type.
template <class T>
class TwoLayers {
 public:
  static constexpr std::size_t samples = 12;
  static constexpr std::size_t width = 3;  // of inputs and hidden units
  static constexpr std::size_t outputs = 2;

  TwoLayers() {
    fill_scores();
    layers = {{.weight = parameters.add(w1.view(), "W1"),
               .bias = parameters.add(b1.view(), "b1"),
               .input = input.view(),
               .output_score = score1.view()},
              {.weight = parameters.add(w2.view(), "W2"),
               .bias = parameters.add(b2.view(), "b2"),
               .input = hidden.view(),
               .output_score = score2.view()}};
  }
  TwoLayers(const TwoLayers&) = delete;
  TwoLayers& operator=(const TwoLayers&) = delete;

  LayerScores scores(RowSet set = {}) const {
    LayerScores scores(parameters);
    set.samples = samples;
    scores.begin(set);
    for (const LayerScores::Layer& layer : layers) scores.add(layer);
    return scores;
  }
  LogLikelihood log_likelihood() {
    return [this](const View& log_p) {
      Numbers values(samples);
      for (std::size_t n = 0; n < samples; ++n) {
        double sum = 0;
        for (double residual : residuals(n, hidden_of(n))) sum += residual * residual;
        values[n] = -sum / 2;
      }
      parameters.context().write(values.data(), log_p);
    };
  }
  void scale_scores(double factor) {
    for (Tensor<T>* score : {&score1, &score2}) {
      for (std::size_t n = 0; n < samples; ++n) scale_row(*score, n, factor);
    }
  }
  static void scale_row(Tensor<T>& score, std::size_t n, double factor) {
    const auto columns = static_cast<std::size_t>(score.view().columns());
    for (std::size_t o = 0; o < columns; ++o) score(n, o) *= static_cast<T>(factor);
  }
  std::vector<std::vector<T>> theta_memory() const {
    return {w1.memory(), b1.memory(), w2.memory(), b2.memory()};
  }

 private:
  Random random_{5};

 public:
  Tensor<T> w1{random_.table(width, width), 2};
  Tensor<T> b1{random_.numbers(width)};
  Tensor<T> w2{random_.table(outputs, width)};
  Tensor<T> b2{random_.numbers(outputs)};
  Tensor<T> input{random_.table(samples, width)};
  Tensor<T> hidden{Table(samples, width)};
  Tensor<T> score1{Table(samples, width)};
  Tensor<T> score2{Table(samples, outputs), 1};
  Tensor<T> weights{Numbers(samples, 1.0)};
  Parameters parameters{test_context()};
  std::vector<LayerScores::Layer> layers;

 private:
  Table target_ = random_.table(samples, outputs);

  Numbers hidden_of(std::size_t n) {
    Numbers a(width);
    for (std::size_t j = 0; j < width; ++j) {
      double z = static_cast<double>(b1(j));
      for (std::size_t i = 0; i < width; ++i) {
        z += static_cast<double>(w1(j, i)) * static_cast<double>(input(n, i));
      }
      a[j] = std::tanh(z);
    }
    return a;
  }
  Numbers residuals(std::size_t n, const Numbers& a) {
    Numbers residual(outputs);
    for (std::size_t o = 0; o < outputs; ++o) {
      double z = static_cast<double>(b2(o));
      for (std::size_t j = 0; j < width; ++j) z += static_cast<double>(w2(o, j)) * a[j];
      residual[o] = target_(n, o) - z;
    }
    return residual;
  }
  void fill_scores() {
    for (std::size_t n = 0; n < samples; ++n) {
      const Numbers a = hidden_of(n);
      const Numbers residual = residuals(n, a);
      for (std::size_t o = 0; o < outputs; ++o) score2(n, o) = static_cast<T>(residual[o]);
      for (std::size_t j = 0; j < width; ++j) {
        double back = 0;
        for (std::size_t o = 0; o < outputs; ++o) {
          back += static_cast<double>(w2(o, j)) * residual[o];
        }
        hidden(n, j) = static_cast<T>(a[j]);
        score1(n, j) = static_cast<T>(back * (1 - a[j] * a[j]));
      }
    }
  }
};

}  // namespace natgrad::tests
