#pragma once

#include "support/numeric_layer.hpp"

#include <array>
#include <cmath>
#include <cstddef>
#include <vector>

namespace natgrad::tests {

/// A value and its first and second derivatives with respect to the place x, for every unit.
template <class T>
using Jet = std::array<std::vector<T>, 3>;

/// The residuals of a boundary value problem for a tanh net u(x) with two hidden layers: u'' + c u'
/// + k u at points inside, rows of three terms (value and derivatives go forward through the same
/// weights, of which only the value has a bias), then u itself at points of the boundary, rows of
/// one term of the same weights. The backward pass is by hand.
class ResidualModel {
 public:
  ResidualModel(std::size_t inside, std::size_t boundary)
      : inside_(inside), points_(Random(300 + inside).numbers(inside + boundary)) {}

  std::size_t samples() const { return points_.size(); }
  std::vector<TensorShape> tensors() const {
    return {shapes_[0], {shapes_[0].rows}, shapes_[1], {shapes_[1].rows}, shapes_[2], {1}};
  }

  template <class T>
  std::vector<T> values(const std::vector<T>& theta) const {
    std::vector<T> residuals;
    for (std::size_t n = 0; n < samples(); ++n) {
      const Jet<T> u = forward(theta, points_[n]).outputs.back();
      residuals.push_back(n < inside_ ? u[2][0] + c * u[1][0] + k * u[0][0] : u[0][0]);
    }
    return residuals;
  }

  std::vector<NumericLayer> uses(const Numbers& theta) const {
    std::vector<NumericLayer> uses;
    for (std::size_t layer = 0; layer < layers; ++layer) {
      uses.push_back(use_of(layer, 0, inside_, 3));
      if (inside_ < samples()) uses.push_back(use_of(layer, inside_, samples() - inside_, 1));
    }
    const std::vector<std::size_t> at = offsets_of(tensors());
    const std::size_t kinds = uses.size() / layers;
    for (std::size_t n = 0; n < samples(); ++n) {
      const Pass<double> pass = forward(theta, points_[n]);
      const bool is_inside = n < inside_;
      const std::size_t own = is_inside ? n : n - inside_;
      // Of the residual with respect to the last layer's outputs.
      Jet<double> dz = is_inside ? Jet<double>{Numbers{k}, Numbers{c}, Numbers{1}}
                                 : Jet<double>{Numbers{1}, Numbers{0}, Numbers{0}};
      for (std::size_t layer = layers; layer-- > 0;) {
        NumericLayer& use = uses[layer * kinds + (is_inside ? 0 : 1)];
        for (std::size_t t = 0; t < use.terms; ++t) {
          put(use.input, own * use.terms + t, pass.inputs[layer][t]);
          put(use.output_score, own * use.terms + t, dz[t]);
        }
        if (layer == 0) break;
        for (Numbers& order : dz) order = affine_back(&theta[at[2 * layer]], shapes_[layer], order);
        dz = tanh_jet_back(pass.outputs[layer - 1], dz);
      }
    }
    return uses;
  }

 private:
  static constexpr std::size_t layers = 3;
  static constexpr std::array<TensorShape, layers> shapes_ = {TensorShape{5, 1}, TensorShape{4, 5},
                                                              TensorShape{1, 4}};
  static constexpr double c = -0.7;
  static constexpr double k = 1.9;

  template <class T>
  struct Pass {
    std::vector<Jet<T>> inputs;   // of every layer
    std::vector<Jet<T>> outputs;  // before the activation
  };

  template <class T>
  Pass<T> forward(const std::vector<T>& theta, double x) const {
    const std::vector<std::size_t> at = offsets_of(tensors());
    const T* no_bias = nullptr;
    Pass<T> pass;
    Jet<T> a = {std::vector<T>{x}, std::vector<T>{1}, std::vector<T>{0}};
    for (std::size_t layer = 0; layer < layers; ++layer) {
      Jet<T> z;
      for (std::size_t order = 0; order < 3; ++order) {
        z[order] = affine(&theta[at[2 * layer]], order == 0 ? &theta[at[2 * layer + 1]] : no_bias,
                          shapes_[layer], a[order]);
      }
      pass.inputs.push_back(a);
      pass.outputs.push_back(z);
      a = tanh_jet(z);
    }
    return pass;
  }

  /// a = tanh(z), a' = s z', a'' = s z'' + s' z'^2, with s = 1 - a^2 and s' = -2 a s.
  template <class T>
  static Jet<T> tanh_jet(Jet<T> z) {
    for (std::size_t i = 0; i < z[0].size(); ++i) {
      const T a = std::tanh(z[0][i]);
      const T s = 1.0 - a * a;
      z[2][i] = s * z[2][i] - 2.0 * a * s * z[1][i] * z[1][i];
      z[1][i] = s * z[1][i];
      z[0][i] = a;
    }
    return z;
  }
  /// The way back: s'' = -2 s^2 + 4 a^2 s.
  static Jet<double> tanh_jet_back(const Jet<double>& z, const Jet<double>& da) {
    Jet<double> dz = da;
    for (std::size_t i = 0; i < z[0].size(); ++i) {
      const double a = std::tanh(z[0][i]);
      const double s = 1 - a * a;
      const double s1 = -2 * a * s;
      const double s2 = -2 * s * s + 4 * a * a * s;
      dz[0][i] = da[0][i] * s + da[1][i] * s1 * z[1][i] +
                 da[2][i] * (s1 * z[2][i] + s2 * z[1][i] * z[1][i]);
      dz[1][i] = da[1][i] * s + da[2][i] * 2 * s1 * z[1][i];
      dz[2][i] = da[2][i] * s;
    }
    return dz;
  }

  static NumericLayer use_of(std::size_t layer, std::size_t first, std::size_t rows,
                             std::size_t terms) {
    return {.weight = static_cast<int>(2 * layer),
            .bias = static_cast<int>(2 * layer + 1),
            .input = Table(rows * terms, shapes_[layer].columns),
            .output_score = Table(rows * terms, shapes_[layer].rows),
            .terms = terms,
            .bias_first_term = true,
            .first = first};
  }

  std::size_t inside_;
  Numbers points_;
};

}  // namespace natgrad::tests
