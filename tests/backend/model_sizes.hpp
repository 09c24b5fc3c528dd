#pragma once

#include "support/trial.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

// Sizes that the cases of the model operations go through.

namespace natgrad::tests {

struct Size {
  std::int64_t rows, columns, padding;
};

inline constexpr Size sizes[] = {{0, 5, 0},   {1, 1, 0},  {1, 15, 3},   {13, 15, 0},
                                 {13, 15, 3}, {13, 1, 3}, {401, 67, 0}, {401, 67, 5}};

template <class Body>
void for_sizes(TestDevice& device, std::span<const Size> sizes, const Body& body) {
  for (const Size& size : sizes) {
    SCOPED_TRACE(to_string(Shape{size.rows, size.columns}) + ", padding " +
                 std::to_string(size.padding));
    Trial trial(device, size.padding);
    body(trial, size);
  }
}

template <class Body>
void for_sizes(TestDevice& device, const Body& body) {
  for_sizes(device, sizes, body);
}

/// Random numbers made `factor` times as large, with some exact zeros.
inline void spread(Trial& trial, Operand operand, double factor) {
  std::vector<double> elements = trial.given(operand);
  for (double& element : elements) element *= factor;
  for (std::size_t i = 2; i < elements.size(); i += 7) elements[i] = 0;
  trial.set(operand, elements);
}

}  // namespace natgrad::tests
