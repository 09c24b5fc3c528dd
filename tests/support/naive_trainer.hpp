#pragma once

#include <cmath>
#include <cstddef>
#include <vector>

// The whole method once more without the library: a small net, its scores, and the natural gradient
// with SPRING, in double, each formula as it stands on paper. No layer of it is fast, and none
// shares a line with what it judges.

namespace natgrad::tests::naive {

using Numbers = std::vector<double>;
using Rows = std::vector<Numbers>;

/// A weight (d_out, d_in) and a bias (d_out).
struct Layer {
  Rows weight;
  Numbers bias;
};

struct Options {
  double rate = 0.3;
  double damping = 0.03;
  double spring = 0.9;
};

/// L L^T = A for symmetric positive definite A.
inline Rows cholesky(const Rows& A) {
  Rows L(A.size(), Numbers(A.size(), 0.0));
  for (std::size_t i = 0; i < A.size(); ++i) {
    for (std::size_t j = 0; j <= i; ++j) {
      double sum = A[i][j];
      for (std::size_t k = 0; k < j; ++k) sum -= L[i][k] * L[j][k];
      L[i][j] = i == j ? std::sqrt(sum) : sum / L[j][j];
    }
  }
  return L;
}

/// A^-1 b: L u = b, then L^T x = u.
inline Numbers solve(const Rows& A, Numbers b) {
  const Rows L = cholesky(A);
  for (std::size_t i = 0; i < b.size(); ++i) {
    for (std::size_t k = 0; k < i; ++k) b[i] -= L[i][k] * b[k];
    b[i] /= L[i][i];
  }
  for (std::size_t i = b.size(); i-- > 0;) {
    for (std::size_t k = i + 1; k < b.size(); ++k) b[i] -= L[k][i] * b[k];
    b[i] /= L[i][i];
  }
  return b;
}

inline double dot(const Numbers& x, const Numbers& y) {
  double sum = 0;
  for (std::size_t i = 0; i < x.size(); ++i) sum += x[i] * y[i];
  return sum;
}

/// p(y | x) = softmax(z_L)_y, z_l = W_l a_{l-1} + b_l, a_l = tanh(z_l).
class Trainer {
 public:
  Trainer(std::vector<Layer> net, Options options) : layers(std::move(net)), options_(options) {
    for (const Layer& layer : layers) {
      parameters_ += layer.bias.size() * (layer.weight[0].size() + 1);
    }
    momentum_.assign(parameters_, 0.0);
  }

  /// Mean of -log p(y_n | x_n).
  double loss(const Rows& inputs, const std::vector<int>& labels) const {
    double sum = 0;
    for (std::size_t n = 0; n < inputs.size(); ++n) {
      const Numbers p = softmax(forward(inputs[n]).back());
      sum -= std::log(p[static_cast<std::size_t>(labels[n])]);
    }
    return sum / static_cast<double>(inputs.size());
  }

  /// d = mu m + S^T (S S^T + lambda I)^-1 (r - mu S m), theta += rate d, m = d, where row n of S is
  /// s_n / sqrt(N) and r_n = 1 / sqrt(N).
  void step(const Rows& inputs, const std::vector<int>& labels) {
    const std::size_t samples = inputs.size();
    const double root = std::sqrt(1.0 / static_cast<double>(samples));
    Rows S;
    for (std::size_t n = 0; n < samples; ++n) {
      S.push_back(score(inputs[n], labels[n]));
      for (double& element : S.back()) element *= root;
    }
    Rows K(samples, Numbers(samples));
    Numbers right(samples);
    for (std::size_t n = 0; n < samples; ++n) {
      for (std::size_t m = 0; m < samples; ++m) K[n][m] = dot(S[n], S[m]);
      K[n][n] += options_.damping;
      right[n] = root - options_.spring * dot(S[n], momentum_);
    }
    const Numbers y = solve(K, right);
    for (std::size_t i = 0; i < parameters_; ++i) {
      momentum_[i] *= options_.spring;
      for (std::size_t n = 0; n < samples; ++n) momentum_[i] += S[n][i] * y[n];
    }
    move(momentum_);
  }

  std::vector<Layer> layers;

 private:
  static Numbers softmax(const Numbers& z) {
    Numbers p(z.size());
    double sum = 0;
    for (std::size_t c = 0; c < z.size(); ++c) sum += p[c] = std::exp(z[c]);
    for (double& probability : p) probability /= sum;
    return p;
  }

  /// The input, the output of every hidden layer, and the last layer's z.
  Rows forward(const Numbers& input) const {
    Rows outputs = {input};
    for (std::size_t l = 0; l < layers.size(); ++l) {
      Numbers z = layers[l].bias;
      for (std::size_t o = 0; o < z.size(); ++o) z[o] += dot(layers[l].weight[o], outputs.back());
      if (l + 1 < layers.size()) {
        for (double& value : z) value = std::tanh(value);
      }
      outputs.push_back(z);
    }
    return outputs;
  }

  /// grad log p(label | input): every layer's weight row by row, then its bias.
  Numbers score(const Numbers& input, int label) const {
    const Rows outputs = forward(input);
    Numbers delta = softmax(outputs.back());
    for (double& value : delta) value = -value;
    delta[static_cast<std::size_t>(label)] += 1;
    Rows parts(layers.size());
    for (std::size_t l = layers.size(); l-- > 0;) {
      for (double d : delta) {
        for (double a : outputs[l]) parts[l].push_back(d * a);
      }
      parts[l].insert(parts[l].end(), delta.begin(), delta.end());
      Numbers below(outputs[l].size(), 0.0);
      for (std::size_t i = 0; i < below.size(); ++i) {
        for (std::size_t o = 0; o < delta.size(); ++o)
          below[i] += layers[l].weight[o][i] * delta[o];
        below[i] *= 1 - outputs[l][i] * outputs[l][i];
      }
      delta = below;
    }
    Numbers score;
    for (const Numbers& part : parts) score.insert(score.end(), part.begin(), part.end());
    return score;
  }

  void move(const Numbers& direction) {
    std::size_t i = 0;
    for (Layer& layer : layers) {
      for (Numbers& row : layer.weight) {
        for (double& weight : row) weight += options_.rate * direction[i++];
      }
      for (double& bias : layer.bias) bias += options_.rate * direction[i++];
    }
  }

  Options options_;
  std::size_t parameters_ = 0;
  Numbers momentum_;
};

}  // namespace natgrad::tests::naive
