#include "backend/reference_fixture.hpp"

#include <gtest/gtest.h>

#include <limits>
#include <vector>

// The reference on rows of layers, proved by hand.

namespace natgrad::tests {

namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();

/// Two rows of one layer with d_in = 2, d_out = 2, and after a gap of one a bias-only layer:
///   row 0: scale 2, A = (1, 2), D = (3, 4), D' = 5;  row 1: scale 1, A = (1, -1), D = (0, 1), D' =
///   2 S = ( 6 12  8 16 | 6 8 | 0 | 10 )   weight D (x) A, bias D, gap, bias D'
///       ( 0  0  1 -1 | 0 1 | 0 |  2 )
class naive_rows : public reference_backend {
 protected:
  Numbers<double> A = matrix(2, {1, 2, 1, -1});
  Numbers<double> D = matrix(2, {3, 4, 0, 1});
  Numbers<double> D2 = matrix(2, {5, 2});
  Numbers<double> scale = vector({2, 1});
  std::vector<LayerUse> blocks = {{.rows = 2,
                                   .inputs = 2,
                                   .outputs = 2,
                                   .weight_offset = 0,
                                   .bias_offset = 4,
                                   .input = A,
                                   .output_score = D},
                                  {.rows = 2, .outputs = 1, .bias_offset = 7, .output_score = D2}};
  RowBatch rows = {.blocks = blocks, .scale = scale};
};

TEST_F(naive_rows, materialize) {
  Numbers<double> S = matrix(2, Elements(16, nan));
  naive.materialize(rows, 0, S);
  EXPECT_EQ(S.elements, (Elements{6, 12, 8, 16, 6, 8, 0, 10, 0, 0, 1, -1, 0, 1, 0, 2}));
  Numbers<double> second = matrix(1, Elements(8, nan));
  naive.materialize(rows, 1, second);
  EXPECT_EQ(second.elements, (Elements{0, 0, 1, -1, 0, 1, 0, 2}));
}

TEST_F(naive_rows, gram) {
  Numbers<double> K = matrix(2, Elements(4, -7));
  naive.gram(rows, K, {});
  EXPECT_EQ(K.elements, (Elements{700, -7, 8 - 16 + 8 + 20, 7}));
}

TEST_F(naive_rows, apply_and_adjoint) {
  Numbers<double> v = vector({1, 0, 1, 2, 0, 1, 100, -1});
  Numbers<double> z = vector({nan, nan});
  naive.apply(rows, v, z, {});
  EXPECT_EQ(z.elements, (Elements{6 + 8 + 32 + 8 - 10, 1 - 2 + 1 - 2}));

  Numbers<double> y = vector({0.5, -1});
  Numbers<double> g = vector(Elements(8, nan));
  naive.adjoint(rows, y, 0, g, {});
  EXPECT_EQ(g.elements, (Elements{3, 6, 3, 9, 3, 3, 0, 3}));
  g.elements = Elements(8, 10);
  naive.adjoint(rows, y, 0.5, g, {});
  EXPECT_EQ(g.elements, (Elements{8, 11, 8, 14, 8, 8, 5, 8}));
}

/// One parameter w (1, 2) and its bias b, in rows of two terms; two rows share an input, and a
/// third row uses w alone, through another block.
///   input: A = (1, 2), (3, 4);  rows 0, 1: D = (1, 1), (2, -1);  row 2: A = (5, 6), D = 7
///   w: row 0 (1, 2) + (3, 4), row 1 2 (1, 2) - (3, 4), row 2 7 (5, 6);  b: D of the first term
class naive_terms : public reference_backend {
 protected:
  Numbers<double> A = matrix(2, {1, 2, 3, 4});
  Numbers<double> D = matrix(4, {1, 1, 2, -1});
  Numbers<double> A2 = matrix(1, {5, 6});
  Numbers<double> D2 = matrix(1, {7});
  Numbers<double> scale = vector({1, 1, 1});
  std::vector<LayerUse> blocks = {{.first = 0,
                                   .rows = 2,
                                   .inputs = 2,
                                   .outputs = 1,
                                   .terms = 2,
                                   .rows_per_input = 2,
                                   .bias_first_term = true,
                                   .weight_offset = 0,
                                   .bias_offset = 2,
                                   .input = A,
                                   .output_score = D},
                                  {.first = 2,
                                   .rows = 1,
                                   .inputs = 2,
                                   .outputs = 1,
                                   .weight_offset = 0,
                                   .input = A2,
                                   .output_score = D2}};
  RowBatch rows = {.blocks = blocks, .scale = scale};
};

TEST_F(naive_terms, materialize) {
  Numbers<double> S = matrix(3, Elements(9, nan));
  naive.materialize(rows, 0, S);
  EXPECT_EQ(S.elements, (Elements{4, 6, 1, -1, 0, 2, 35, 42, 0}));
  blocks[0].bias_first_term = false;
  naive.materialize(rows, 0, S);
  EXPECT_EQ(S.elements, (Elements{4, 6, 2, -1, 0, 1, 35, 42, 0}));
}

TEST_F(naive_terms, gram) {
  Numbers<double> K = matrix(3, Elements(9, -7));
  naive.gram(rows, K, {});
  EXPECT_EQ(K.elements, (Elements{53, -7, -7, -2, 5, -7, 392, -35, 2989}));
}

TEST_F(naive_rows, without_blocks) {
  rows.blocks = {};
  Numbers<double> v = vector({1, 2});
  Numbers<double> z = vector({nan, nan});
  naive.apply(rows, v, z, {});
  EXPECT_EQ(z.elements, (Elements{0, 0}));
  naive.adjoint(rows, z, 3, v, {});
  EXPECT_EQ(v.elements, (Elements{3, 6}));
}

}  // namespace

}  // namespace natgrad::tests
