#pragma once

#include "natgrad/natgrad.hpp"
#include "support/layered_batch.hpp"
#include "support/plain.hpp"

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <vector>

// Structures of a matrix, written plainly.

namespace natgrad::tests {

/// F with zeros outside the blocks of these groups.
inline Table within_groups(Table F, const Parameters& parameters, const ParameterGroups& groups) {
  std::vector<std::size_t> owner(F.rows);
  for (std::size_t g = 0; g < groups.size(); ++g) {
    for (const Segment& segment : groups[g]) {
      const auto first = static_cast<std::size_t>(parameters.offset(segment));
      const auto count = static_cast<std::size_t>(parameters.tensor(segment).size());
      for (std::size_t i = 0; i < count; ++i) owner[first + i] = g;
    }
  }
  for (std::size_t i = 0; i < F.rows; ++i) {
    for (std::size_t j = 0; j < F.rows; ++j) {
      if (owner[i] != owner[j]) F(i, j) = 0;
    }
  }
  return F;
}

/// Every segment a group of its own, and all segments in one.
inline ParameterGroups each_segment(const Parameters& parameters) {
  ParameterGroups groups;
  for (int i = 0; i < parameters.segments(); ++i) groups.push_back({Segment{i}});
  return groups;
}
inline ParameterGroups one_group(const Parameters& parameters) {
  ParameterGroups groups(1);
  for (int i = 0; i < parameters.segments(); ++i) groups.front().push_back(Segment{i});
  return groups;
}

/// d of the rows' own coefficients, or of minus two times the gradient.
inline Numbers solved(FisherMatrix& fisher, const Numbers* gradient = nullptr) {
  Tensor<double> direction = zeros<double>(fisher.size());
  if (gradient == nullptr) {
    fisher.solve(Coefficients{}, direction.view());
  } else {
    Tensor<double> g(*gradient);
    fisher.solve(Gradient{.view = g.view(), .scale = -2}, direction.view());
  }
  EXPECT_EQ(fisher.report().outcome, Outcome::accepted);
  return direction.numbers();
}

}  // namespace natgrad::tests
