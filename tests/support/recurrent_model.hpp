#pragma once

#include "support/numeric_layer.hpp"

#include <cmath>
#include <cstddef>
#include <vector>

namespace natgrad::tests {

/// log p of targets y under a recurrent net h_t = tanh(W x_t + U h_(t-1) + b), whose last h gives
/// the mean of a Gaussian y ~ N(V h + c, exp(2 s)), and its backward pass by hand. W, U and b are
/// used at every step, s is a dense block. Sequences have three to five steps: those of fewer terms
/// end with output scores of 0. Each sequence has `draws` targets in adjacent rows.
class RecurrentModel {
 public:
  RecurrentModel(std::size_t samples, std::size_t draws) : samples_(samples), draws_(draws) {
    Random random(200 + samples);
    for (std::size_t i = 0; i < samples / draws; ++i) {
      sequences_.push_back(random.numbers(steps * inputs));
    }
    targets_ = random.table(samples, outputs);
  }

  std::size_t samples() const { return samples_; }
  std::vector<TensorShape> tensors() const { return {W_, U_, {hidden}, V_, {outputs}, {outputs}}; }

  template <class T>
  std::vector<T> values(const std::vector<T>& theta) const {
    const std::vector<std::size_t> at = offsets_of(tensors());
    std::vector<T> log_p(samples_);
    for (std::size_t n = 0; n < samples_; ++n) {
      const std::vector<T> mean =
          affine(&theta[at[3]], &theta[at[4]], V_, states(theta, n / draws_).back());
      for (std::size_t o = 0; o < outputs; ++o) {
        const T s = theta[at[5] + o];
        const T z = (targets_(n, o) - mean[o]) * std::exp(-s);
        log_p[n] -= s + z * z / 2.0;
      }
    }
    return log_p;
  }

  std::vector<NumericLayer> uses(const Numbers& theta) const {
    const std::vector<std::size_t> at = offsets_of(tensors());
    const std::size_t sequences = sequences_.size();
    NumericLayer input{.weight = 0,
                       .bias = 2,
                       .input = Table(sequences * steps, inputs),
                       .output_score = Table(samples_ * steps, hidden),
                       .terms = steps,
                       .rows_per_input = draws_};
    NumericLayer state = input;
    state.weight = 1;
    state.bias = -1;
    state.input = Table(sequences * steps, hidden);
    NumericLayer output{.weight = 3,
                        .bias = 4,
                        .input = Table(sequences, hidden),
                        .output_score = Table(samples_, outputs),
                        .rows_per_input = draws_};
    NumericLayer scale{.bias = 5, .output_score = Table(samples_, outputs)};

    for (std::size_t i = 0; i < sequences; ++i) {
      const std::vector<Numbers> h = states(theta, i);
      put(input.input, i * steps, sequences_[i]);
      for (std::size_t t = 0; t < length(i); ++t) put(state.input, i * steps + t, h[t]);
      put(output.input, i, h.back());
      const Numbers mean = affine(&theta[at[3]], &theta[at[4]], V_, h.back());
      for (std::size_t n = i * draws_; n < (i + 1) * draws_; ++n) {
        Numbers dmean(outputs);
        for (std::size_t o = 0; o < outputs; ++o) {
          const double precision = std::exp(-2 * theta[at[5] + o]);
          const double error = targets_(n, o) - mean[o];
          dmean[o] = error * precision;
          scale.output_score(n, o) = error * error * precision - 1;
        }
        put(output.output_score, n, dmean);
        Numbers dh = affine_back(&theta[at[3]], V_, dmean);
        for (std::size_t t = length(i); t-- > 0;) {
          const Numbers dz = tanh_back(h[t + 1], dh);
          put(input.output_score, n * steps + t, dz);
          dh = affine_back(&theta[at[1]], U_, dz);
        }
      }
    }
    state.output_score = input.output_score;
    return {input, state, output, scale};
  }

 private:
  static constexpr std::size_t steps = 5;
  static constexpr std::size_t inputs = 3;
  static constexpr std::size_t hidden = 4;
  static constexpr std::size_t outputs = 2;
  static constexpr TensorShape W_{hidden, inputs};
  static constexpr TensorShape U_{hidden, hidden};
  static constexpr TensorShape V_{outputs, hidden};

  static std::size_t length(std::size_t sequence) { return steps - sequence % 3; }

  /// h_0 = 0 and the states after it.
  template <class T>
  std::vector<std::vector<T>> states(const std::vector<T>& theta, std::size_t sequence) const {
    const std::vector<std::size_t> at = offsets_of(tensors());
    const Numbers& x = sequences_[sequence];
    std::vector<std::vector<T>> h = {std::vector<T>(hidden)};
    for (std::size_t t = 0; t < length(sequence); ++t) {
      const std::vector<T> x_t(&x[t * inputs], &x[t * inputs] + inputs);
      std::vector<T> z = affine(&theta[at[0]], &theta[at[2]], W_, x_t);
      const T* no_bias = nullptr;
      const std::vector<T> from_state = affine(&theta[at[1]], no_bias, U_, h.back());
      for (std::size_t j = 0; j < hidden; ++j) z[j] += from_state[j];
      h.push_back(tanh_of(z));
    }
    return h;
  }

  std::size_t samples_;
  std::size_t draws_;
  std::vector<Numbers> sequences_;
  Table targets_;
};

}  // namespace natgrad::tests
