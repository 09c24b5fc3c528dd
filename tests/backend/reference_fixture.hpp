#pragma once

#include "support/reference_backend.hpp"

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace natgrad::tests {

/// Numbers in row-major order, and a view of them.
template <class T>
struct Numbers {
  Shape shape;
  std::vector<T> elements;

  View view() { return {elements.data(), shape}; }
  operator View() { return view(); }       // NOLINT(google-explicit-constructor)
  operator ConstView() { return view(); }  // NOLINT(google-explicit-constructor)
};

inline Numbers<double> vector(std::vector<double> elements) {
  return {{static_cast<std::int64_t>(elements.size()), 1}, std::move(elements)};
}

inline Numbers<double> matrix(std::int64_t rows, std::vector<double> elements) {
  return {{rows, static_cast<std::int64_t>(elements.size()) / rows}, std::move(elements)};
}

inline Numbers<std::int32_t> integers(std::vector<std::int32_t> elements) {
  return {{static_cast<std::int64_t>(elements.size()), 1}, std::move(elements)};
}

using Elements = std::vector<double>;

/// Where the hand's number is itself rounded.
inline void expect_near(const Elements& actual, const Elements& expected) {
  ASSERT_EQ(actual.size(), expected.size());
  for (std::size_t i = 0; i < actual.size(); ++i) EXPECT_DOUBLE_EQ(actual[i], expected[i]) << i;
}

class reference_backend : public testing::Test {
 protected:
  ReferenceBackend naive;
};

}  // namespace natgrad::tests
