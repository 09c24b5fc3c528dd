#pragma once

#include "natgrad/check_scores.hpp"

#include <cstddef>
#include <string>
#include <vector>

namespace natgrad::detail {

/// What `check_scores` has gathered on the host, in double.
struct LikelihoodDifferences {
  std::size_t rows = 0;        // N
  std::size_t directions = 0;  // K
  double step = 0;             // h
  double tolerance = 0;
  std::vector<double> products = {};  // (K, N): s_n . v_k
  std::vector<double> above = {};     // (K, N): log p at theta + h v_k
  std::vector<double> below = {};     // (K, N): log p at theta - h v_k
  std::vector<double> centre = {};    // (N): log p at theta
  std::vector<std::string> uncovered = {};
};

/// Compares products and differences and says what came out. 3 K N operations and their likes.
LikelihoodCheck compare(const LikelihoodDifferences& data);

}  // namespace natgrad::detail
