#pragma once

#include "natgrad/models/restricted_boltzmann.hpp"

#include <cstdint>
#include <vector>

namespace natgrad {

/// Where a, b and W stand among the parameters, and how a machine without symmetry has them.
struct BoltzmannSizes {
  std::int64_t n;  // sites
  std::int64_t M;  // hidden units
  std::int64_t a;  // visible biases
  std::int64_t b;  // hidden biases, and rows of W
  bool symmetric;

  explicit BoltzmannSizes(const RestrictedBoltzmann::Options& options)
      : n(options.sites),
        M(options.sites * options.density),
        a(options.symmetric ? 1 : n),
        b(options.symmetric ? options.density : M),
        symmetric(options.symmetric) {}

  std::int64_t parameters() const { return a + b + b * n; }
  std::int64_t expanded() const { return n * M + n + M; }

  /// Which parameter each number of W (n, M), a (n) and b (M) is.
  std::vector<std::int32_t> sources() const {
    std::vector<std::int32_t> numbers;
    const auto add = [&](std::int64_t parameter) {
      numbers.push_back(static_cast<std::int32_t>(parameter));
    };
    for (std::int64_t i = 0; i < n; ++i) {
      for (std::int64_t j = 0; j < M; ++j) {
        // Unit j = f n + t sees spin i through element i - t of its filter.
        add(a + b + (symmetric ? j / n * n + (i + n - j % n) % n : j * n + i));
      }
    }
    for (std::int64_t i = 0; i < n; ++i) add(symmetric ? 0 : i);
    for (std::int64_t j = 0; j < M; ++j) add(a + (symmetric ? j / n : j));
    return numbers;
  }
};

}  // namespace natgrad
