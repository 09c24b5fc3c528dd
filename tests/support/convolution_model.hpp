#pragma once

#include "support/numeric_layer.hpp"

#include <cmath>
#include <cstddef>
#include <vector>

namespace natgrad::tests {

/// A 2-d convolution over maps (height, width, channels) with zeros around them.
struct Convolution {
  std::size_t height, width, channels, outputs, kernel, stride, padding;

  std::size_t out_height() const { return (height + 2 * padding - kernel) / stride + 1; }
  std::size_t out_width() const { return (width + 2 * padding - kernel) / stride + 1; }
  std::size_t positions() const { return out_height() * out_width(); }
  std::size_t patch() const { return kernel * kernel * channels; }
  TensorShape weight() const { return {outputs, patch()}; }

  /// Calls body(i, j) where element i of the patches (positions, patch) is element j of the map.
  template <class Body>
  void for_each_tap(const Body& body) const {
    for (std::size_t position = 0; position < positions(); ++position) {
      for (std::size_t tap = 0; tap < patch(); ++tap) {
        const std::size_t c = tap % channels;
        const std::size_t y = position / out_width() * stride + tap / channels / kernel;
        const std::size_t x = position % out_width() * stride + tap / channels % kernel;
        if (y < padding || y >= height + padding || x < padding || x >= width + padding) continue;
        body(position * patch() + tap, ((y - padding) * width + x - padding) * channels + c);
      }
    }
  }
  template <class T>
  std::vector<T> patches(const std::vector<T>& map) const {
    std::vector<T> all(positions() * patch());
    for_each_tap([&](std::size_t i, std::size_t j) { all[i] = map[j]; });
    return all;
  }
  /// The way back: every element of the map collects from the patches that hold it.
  Numbers patches_back(const Numbers& all) const {
    Numbers map(height * width * channels);
    for_each_tap([&](std::size_t i, std::size_t j) { map[j] += all[i]; });
    return map;
  }
};

/// log p of labels under a net of two convolutions with tanh and a dense softmax layer, and its
/// backward pass by hand: 5 x 6 images of two channels, 102 parameters.
class ConvolutionModel {
 public:
  explicit ConvolutionModel(std::size_t samples) : samples_(samples) {
    Random random(100 + samples);
    for (std::size_t n = 0; n < samples; ++n) {
      images_.push_back(random.numbers(first_.height * first_.width * first_.channels));
      labels_.push_back((n * 5 + 1) % classes);
    }
  }

  std::size_t samples() const { return samples_; }
  std::vector<TensorShape> tensors() const {
    return {first_.weight(),   {first_.outputs}, second_.weight(),
            {second_.outputs}, dense_,           {classes}};
  }

  template <class T>
  std::vector<T> values(const std::vector<T>& theta) const {
    std::vector<T> log_p;
    for (std::size_t n = 0; n < samples_; ++n) {
      const Pass<T> pass = forward(theta, n);
      log_p.push_back(pass.outputs[labels_[n]] - log_sum_exp(pass.outputs));
    }
    return log_p;
  }

  std::vector<NumericLayer> uses(const Numbers& theta) const {
    std::vector<NumericLayer> uses = {use_of(first_, 0),
                                      use_of(second_, 2),
                                      {.weight = 4,
                                       .bias = 5,
                                       .input = Table(samples_, dense_.columns),
                                       .output_score = Table(samples_, classes)}};
    const std::vector<std::size_t> at = offsets_of(tensors());
    for (std::size_t n = 0; n < samples_; ++n) {
      const Pass<double> pass = forward(theta, n);
      Numbers dz3(classes);
      const double log_sum = log_sum_exp(pass.outputs);
      for (std::size_t c = 0; c < classes; ++c) {
        dz3[c] = (c == labels_[n] ? 1 : 0) - std::exp(pass.outputs[c] - log_sum);
      }
      const Numbers dz2 = tanh_back(pass.second, affine_back(&theta[at[4]], dense_, dz3));
      const Numbers dpatches = affine_back(&theta[at[2]], second_.weight(), dz2);
      const Numbers dz1 = tanh_back(pass.first, second_.patches_back(dpatches));
      put(uses[0].input, n * first_.positions(), first_.patches(images_[n]));
      put(uses[0].output_score, n * first_.positions(), dz1);
      put(uses[1].input, n * second_.positions(), second_.patches(pass.first));
      put(uses[1].output_score, n * second_.positions(), dz2);
      put(uses[2].input, n, pass.second);
      put(uses[2].output_score, n, dz3);
    }
    return uses;
  }

 private:
  static constexpr std::size_t classes = 3;
  static constexpr Convolution first_{
      .height = 5, .width = 6, .channels = 2, .outputs = 3, .kernel = 3, .stride = 2, .padding = 1};
  static constexpr Convolution second_{
      .height = 3, .width = 3, .channels = 3, .outputs = 2, .kernel = 2, .stride = 1, .padding = 0};
  static constexpr TensorShape dense_{classes, 2 * 2 * 2};

  template <class T>
  struct Pass {
    std::vector<T> first;  // maps after tanh
    std::vector<T> second;
    std::vector<T> outputs;  // (classes)
  };

  template <class T>
  Pass<T> forward(const std::vector<T>& theta, std::size_t n) const {
    const std::vector<std::size_t> at = offsets_of(tensors());
    const std::vector<T> image(images_[n].begin(), images_[n].end());
    Pass<T> pass;
    pass.first =
        tanh_of(affine(&theta[at[0]], &theta[at[1]], first_.weight(), first_.patches(image)));
    pass.second = tanh_of(
        affine(&theta[at[2]], &theta[at[3]], second_.weight(), second_.patches(pass.first)));
    pass.outputs = affine(&theta[at[4]], &theta[at[5]], dense_, pass.second);
    return pass;
  }

  template <class T>
  static T log_sum_exp(const std::vector<T>& z) {
    T sum = 0;
    for (const T& element : z) sum += std::exp(element);
    return std::log(sum);
  }

  NumericLayer use_of(const Convolution& layer, int weight) const {
    return {.weight = weight,
            .bias = weight + 1,
            .input = Table(samples_ * layer.positions(), layer.patch()),
            .output_score = Table(samples_ * layer.positions(), layer.outputs),
            .terms = layer.positions()};
  }

  std::size_t samples_;
  std::vector<Numbers> images_;
  std::vector<std::size_t> labels_;
};

}  // namespace natgrad::tests
