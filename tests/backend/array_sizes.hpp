#pragma once

#include "support/trial.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <vector>

// The sizes of the cases of elementwise operations.

namespace natgrad::tests {

struct Size {
  std::int64_t rows, columns, padding;
};

/// Vectors of length 0, 1, prime, and longer than one thread's share, then matrices; the last is
/// padded to rows of 16 aligned elements.
inline constexpr Size array_sizes[] = {{0, 1, 0},   {1, 1, 0},     {13, 1, 1}, {20001, 1, 0},
                                       {13, 15, 0}, {13, 15, 3},   {0, 15, 3}, {13, 0, 3},
                                       {1, 15, 3},  {131, 257, 5}, {13, 10, 6}};

/// Runs body(trial, size) for every size.
template <class Body>
void for_sizes(TestDevice& device, const Body& body) {
  for (const Size& size : array_sizes) {
    SCOPED_TRACE(to_string(Shape{size.rows, size.columns}) + ", padding " +
                 std::to_string(size.padding));
    Trial trial(device, size.padding);
    body(trial, size);
  }
}

/// A vector, or a matrix with padding.
inline Operand array(Trial& trial, const Size& size, ElementType type, Use use) {
  return size.columns == 1 ? trial.vector(size.rows, type, use)
                           : trial.matrix(size.rows, size.columns, type, use);
}

inline std::vector<double> filled(const Trial& trial, Operand like, double value) {
  return std::vector<double>(trial.given(like).size(), value);
}

}  // namespace natgrad::tests
