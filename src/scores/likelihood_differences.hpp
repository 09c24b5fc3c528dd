#pragma once

#include "natgrad/check_scores.hpp"

#include <cstddef>
#include <vector>

namespace natgrad::detail {

/// Products of the rows with the directions, and log p at the points, on the host in double.
struct LikelihoodDifferences {
  std::size_t rows = 0;        // N
  std::size_t directions = 0;  // K
  double step = 0;             // h
  double tolerance = 0;
  std::vector<double> products = {};  // (K, N): s_n . v_k
  std::vector<double> above = {};     // (K, N): log p at theta + h v_k
  std::vector<double> below = {};     // (K, N): log p at theta - h v_k
  std::vector<double> centre = {};    // (N): log p at theta, before the directions
  std::vector<double> again = {};     // (N): and once more after them
};

/// Compares the products s_n . v with the differences of log p and says in words how they compare.
/// O(K N) operations, on the host.
LikelihoodCheck compare(const LikelihoodDifferences& data);

}  // namespace natgrad::detail
