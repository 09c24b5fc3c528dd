#pragma once

#include "natgrad/types.hpp"

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

namespace natgrad::trainer {

/// Samples in host memory: a row of inputs and a row of targets each.
struct Examples {
  std::variant<std::vector<float>, std::vector<double>> inputs;          // (count, inputs)
  std::variant<std::vector<std::int32_t>, std::vector<double>> targets;  // (count, targets)
  std::int64_t count = 0;
};

/// Samples to train on and to test with, and what a model of them begins with.
struct Dataset {
  std::string name;
  std::string samples;  // what they are called: "images"
  std::int64_t inputs = 0;
  std::int64_t targets = 1;  // a sample
  std::int64_t outputs = 0;  // of the model: classes
  Examples train;
  Examples test;
  Likelihood likelihood = Likelihood::categorical;
  double sigma = 1;       // standard deviation of `Likelihood::gaussian`, in the targets' unit
  double error_unit = 1;  // of the targets: an error of 1 is so much to the user
  /// Outputs that a model begins with whatever its inputs, as its last bias beside last weights of
  /// 0; empty: the weights are drawn.
  std::vector<double> first_outputs = {};
  std::vector<std::string> warnings = {};  // a line each
  std::string checksum = {};               // of what files hold; empty: built in
};

/// What the licence of the built-in digits asks to be said.
extern const char* const digits_attribution;

/// A random division of samples: the first four fifths, rounded down, are to train on.
struct Split {
  std::vector<std::int32_t> train;
  std::vector<std::int32_t> test;
};

/// Returns the division of `count` samples, at least 2 and below 2^31, that has key `split`.
Split divide(std::int64_t count, std::uint64_t split);

/// Returns the 1,797 built-in digits of 8 x 8 pixels, divided with key `split`. Their pixels are
/// scaled to [0, 1].
Dataset load_digits(std::uint64_t split);

/// Reads MNIST, or what comes in its form: the four IDX files train-images-idx3-ubyte,
/// train-labels-idx1-ubyte, t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte in one directory,
/// plain or with .gz at the end. Pixels are scaled to [0, 1]. Throws `FileError` as `idx.hpp` says,
/// and where the files do not fit each other.
Dataset load_mnist(const std::string& directory);

}  // namespace natgrad::trainer
