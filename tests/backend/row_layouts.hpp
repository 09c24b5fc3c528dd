#pragma once

#include "support/trial.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

// Rows of S, given by layers, of which the operation cases multiply many kinds.

namespace natgrad::tests {

/// A layer and its use.
struct Layer {
  std::int64_t d_in;  // 0: no weight
  std::int64_t d_out;
  bool bias;
  bool bias_before = false;     // its weight, in the order of the parameters
  std::int64_t gap_before = 0;  // parameters that no layer covers
  std::int64_t terms = 1;
  std::int64_t rows_per_input = 1;
  bool bias_first_term = false;
  bool materialized = false;
  int shares_weight = -1;  // with an earlier layer
  int shares_bias = -1;
  double begin = 0;  // of the rows
  double end = 1;
};

/// The layers of some rows.
struct Layout {
  const char* name;
  std::vector<Layer> layers;
  std::int64_t gap_after = 0;
  std::int64_t large_gram = 401;  // rows: more than two tiles of K; fewer where there are no tiles
};

const std::vector<Layout>& layouts();

/// Random factors in this layout for `n` rows. Of three rows or more the second one has scale 0.
struct Rows {
  TrialRows blocks;
  std::int64_t parameters = 0;
  std::int64_t length = 0;  // of the sums behind an element of K or S v
  std::int64_t terms = 0;   // of the sums behind an element of S

  Rows(Trial& trial, const Layout& layout, std::int64_t n, ElementType type);

 private:
  void add(Trial& trial, const Layer& layer, std::int64_t n, ElementType type);
  void place(const Layer& layer, LayerUse& shape);
};

struct Size {
  std::int64_t rows, padding;
};

/// The last has more rows than a backend may convert at a time.
inline constexpr Size product_sizes[] = {{0, 0},  {0, 3},  {1, 0},   {1, 3},
                                         {13, 0}, {13, 3}, {101, 0}, {601, 3}};

/// Calls body(trial, rows) for each size.
template <class Body>
void for_sizes(TestDevice& device, std::span<const Size> sizes, const Body& body) {
  for (const Size& size : sizes) {
    SCOPED_TRACE(std::to_string(size.rows) + " rows, padding " + std::to_string(size.padding));
    Trial trial(device, size.padding);
    body(trial, size.rows);
  }
}

}  // namespace natgrad::tests
