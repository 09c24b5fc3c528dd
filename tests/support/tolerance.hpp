#pragma once

#include "natgrad/types.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <span>

// Every tolerance of the tests: a multiple of eps with the length of a sum or the size of a system,
// never a number found by trying. A comparison is `!(error <= bound)`, so that NaN fails.

namespace natgrad::tests {

/// The distance from 1 to the next number of this type.
inline double epsilon(ElementType type) {
  return type == ElementType::float64 ? std::numeric_limits<double>::epsilon()
                                      : std::numeric_limits<float>::epsilon();
}

/// What a sum of `length` products may err by in any order of summation (Higham 2002, section 3.1):
/// each term passes at most `length` roundings of eps / 2. `magnitude` is the sum of absolute
/// values; four more roundings are for scaling the result, adding to another, and storing it.
inline double sum_bound(std::int64_t length, ElementType type, double magnitude) {
  return (static_cast<double>(length) + 4) * epsilon(type) / 2 * magnitude;
}

/// Of |L L^T - A| elementwise, relative to (|L| |L|^T), and of |A x - b| for x from two triangular
/// solves, relative to (|L| |L|^T |x|) (Higham 2002, theorems 10.3 and 10.4).
inline double factor_bound(std::int64_t size, ElementType type, double magnitude) {
  return sum_bound(size + 1, type, magnitude);
}
inline double solve_bound(std::int64_t size, ElementType type, double magnitude) {
  return sum_bound(3 * size + 1, type, magnitude);
}

/// A value that took this many roundings, none of them in a long sum.
inline double rounding_bound(double roundings, ElementType type, double magnitude) {
  return roundings * epsilon(type) * magnitude;
}

/// True also where both are NaN or the same infinity: a reference may ask for these.
inline bool is_within(double actual, double expected, double bound) {
  if (std::isnan(expected)) return std::isnan(actual);
  if (std::isinf(expected)) return actual == expected;
  return std::abs(actual - expected) <= bound;
}

inline testing::AssertionResult within(double actual, double expected, double bound) {
  if (is_within(actual, expected, bound)) return testing::AssertionSuccess();
  return testing::AssertionFailure() << actual << " instead of " << expected << ": off by "
                                     << std::abs(actual - expected) << ", allowed " << bound;
}

/// |actual - expected| / |expected| in the 2-norm; NaN where the lengths differ.
inline double relative_error(std::span<const double> actual, std::span<const double> expected) {
  if (actual.size() != expected.size()) return std::numeric_limits<double>::quiet_NaN();
  double difference = 0;
  double norm = 0;
  for (std::size_t i = 0; i < actual.size(); ++i) {
    difference += (actual[i] - expected[i]) * (actual[i] - expected[i]);
    norm += expected[i] * expected[i];
  }
  return difference == 0 ? 0 : std::sqrt(difference / norm);
}

inline testing::AssertionResult relative_error_within(std::span<const double> actual,
                                                      std::span<const double> expected,
                                                      double bound) {
  const double error = relative_error(actual, expected);
  if (error <= bound) return testing::AssertionSuccess();
  return testing::AssertionFailure() << "relative error " << error << ", allowed " << bound;
}

}  // namespace natgrad::tests
