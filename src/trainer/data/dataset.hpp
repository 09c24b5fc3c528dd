#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace natgrad::trainer {

/// Labelled images in host memory.
struct Examples {
  std::vector<float> images;         // (count, inputs)
  std::vector<std::int32_t> labels;  // (count), within [0, classes)

  std::int64_t count() const { return static_cast<std::int64_t>(labels.size()); }
};

/// Labelled images to train on and to test with. Pixels are scaled to [0, 1].
struct Dataset {
  std::string name;
  std::int64_t inputs = 0;
  std::int64_t classes = 0;
  Examples train;
  Examples test;
};

/// What the licence of the built-in digits asks to be said.
extern const char* const digits_attribution;

/// Returns the 1,797 built-in digits of 8 x 8 pixels, shuffled with key `split`; the last 20 % are
/// for test.
Dataset load_digits(std::uint64_t split);

/// Reads MNIST, or what comes in its form: the four IDX files train-images-idx3-ubyte,
/// train-labels-idx1-ubyte, t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte in one directory,
/// plain or with .gz at the end. Throws `FileError` as `idx.hpp` says, and where the files do not
/// fit each other.
Dataset load_mnist(const std::string& directory);

}  // namespace natgrad::trainer
