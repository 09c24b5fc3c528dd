#include "backend/reference_fixture.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <numbers>
#include <vector>

// The reference itself, proved by hand: every expectation below can be checked on paper.

namespace natgrad::tests {

namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();

TEST_F(reference_backend, copies_between_leading_dimensions_and_types) {
  std::vector<float> from = {1, 2, -9, 3, 4, -9};
  Numbers<double> to = matrix(2, {0, 0, 0, 0});
  naive.copy(View(from.data(), {2, 2}, {.leading_dimension = 3}), to);
  EXPECT_EQ(to.elements, (Elements{1, 2, 3, 4}));
}

TEST_F(reference_backend, gathers_fills_and_commits) {
  Numbers<double> from = matrix(3, {1, 2, 3, 4, 5, 6});
  Numbers<std::int32_t> rows = integers({2, 0, 2});
  Numbers<double> to = matrix(3, {0, 0, 0, 0, 0, 0});
  naive.gather_rows(from, rows, to);
  EXPECT_EQ(to.elements, (Elements{5, 6, 1, 2, 5, 6}));

  Numbers<double> no = vector({0});
  Numbers<double> yes = vector({1});
  Numbers<double> bad = matrix(3, Elements(6, nan));
  naive.commit(no, bad, to);
  EXPECT_EQ(to.elements, (Elements{5, 6, 1, 2, 5, 6}));
  naive.commit(yes, from, to);
  EXPECT_EQ(to.elements, from.elements);
  naive.fill(-2, to);
  EXPECT_EQ(to.elements, Elements(6, -2));
}

TEST_F(reference_backend, vectors) {
  Numbers<double> x = vector({1, 2, 3});
  Numbers<double> y = vector({10, 20, 30});
  Numbers<double> result = vector({0});
  naive.dot(x, y, result);
  EXPECT_EQ(result.elements, (Elements{140}));
  naive.axpby(2.0, x, 0.5, y);
  EXPECT_EQ(y.elements, (Elements{7, 14, 21}));
  Numbers<double> unset = vector({nan, nan, nan});
  naive.axpby(-1.0, x, 0.0, unset);
  EXPECT_EQ(unset.elements, (Elements{-1, -2, -3}));
}

TEST_F(reference_backend, multiply) {
  Numbers<double> x = vector({1, -2, 3});
  Numbers<double> y = vector({4, 5, 0.5});
  Numbers<double> z = vector({nan, nan, nan});
  naive.multiply(x, y, z);
  EXPECT_EQ(z.elements, (Elements{4, -10, 1.5}));
  naive.multiply(x, x, x);
  EXPECT_EQ(x.elements, (Elements{1, 4, 9}));
  // (1 + 2^-23)^2 is no float.
  Numbers<float> one_ulp = {{1, 1}, {1 + 0x1p-23F}};
  Numbers<double> square = vector({nan});
  naive.multiply(one_ulp, one_ulp, square);
  EXPECT_EQ(square.elements, (Elements{1 + 0x1p-22 + 0x1p-46}));
}

TEST_F(reference_backend, divide) {
  Numbers<double> f = vector({1, 0, -2, -3, nan});
  Numbers<double> b = vector({6, 5, 4, 3, 2});
  Numbers<double> x = vector(Elements(5, -7));
  Numbers<double> info = vector({nan});
  naive.divide(f, 2.0, b, x, info);
  EXPECT_EQ(x.elements, (Elements{2, 2.5, 0, 0, 0}));
  EXPECT_EQ(info.elements, (Elements{3})) << "0, -1 and NaN";
  f.elements = {0, 1, 2, 3, 4};
  naive.divide(f, 1.0, b, b, info);
  EXPECT_EQ(b.elements, (Elements{6, 2.5, 4.0 / 3, 0.75, 0.4}));
  EXPECT_EQ(info.elements, (Elements{0}));
}

TEST_F(reference_backend, residual) {
  Numbers<double> b = vector({10, 1});
  Numbers<double> product = vector({4, 5});
  Numbers<double> x = vector({2, -1});
  Numbers<double> left = vector({nan, nan});
  Numbers<double> square = vector({nan});
  naive.residual(b, product, 0.5, x, left, square);
  EXPECT_EQ(left.elements, (Elements{-5, 3.5}));
  EXPECT_EQ(square.elements, (Elements{25 + 12.25}));
}

TEST_F(reference_backend, updates) {
  Numbers<double> theta = vector({8, -4});
  Numbers<double> d = vector({1, 2});
  Numbers<double> flag = vector({1});
  const UpdatedTensor tensor{theta, d, 0.5};
  naive.check_update({&tensor, 1}, 3.0, 0.5, flag);
  EXPECT_EQ(flag.elements, (Elements{1}));
  naive.update(View(flag), {&tensor, 1}, 3.0, 0.5);
  EXPECT_EQ(theta.elements, (Elements{0.75 * 8 + 3, 0.75 * -4 + 6}));

  d.elements[1] = std::numeric_limits<double>::infinity();
  naive.check_update({&tensor, 1}, 3.0, 0.5, flag);
  EXPECT_EQ(flag.elements, (Elements{0}));
  naive.update(View(flag), {&tensor, 1}, 3.0, 0.5);
  EXPECT_EQ(theta.elements, (Elements{9, 3}));

  // The sum is finite as a double, not as a float.
  Numbers<float> large = {{1, 1}, {3e38F}};
  flag.elements[0] = 1;
  const UpdatedTensor itself{large, large};
  naive.check_update({&itself, 1}, 1.0, 0.0, flag);
  EXPECT_EQ(flag.elements, (Elements{0}));
}

TEST_F(reference_backend, adam_starts_with_the_sign_of_the_gradient) {
  Numbers<double> g = vector({4, -3});
  Numbers<double> mean = vector({0, 0});
  Numbers<double> square = vector({0, 0});
  Numbers<double> theta = vector({1, 1});
  naive.adam(g, 0.5, 0.75, 0.5, 0.0, 1, mean, square, theta);
  expect_near(mean.elements, {1, -0.75});
  expect_near(square.elements, {8, 4.5});
  expect_near(theta.elements, {1.5, 0.5});
  // Second step, g = 4: mean 7/4, corrected by 1 - 9/16 to 4; square 12, corrected by 3/4 to 16.
  g.elements[0] = 4;
  naive.adam(g, 0.5, 0.75, 0.5, 1.0, 2, mean, square, theta);
  expect_near({mean.elements[0], square.elements[0], theta.elements[0]}, {1.75, 12, 1.5 + 0.4});
}

TEST_F(reference_backend, gemm) {
  Numbers<double> A = matrix(2, {1, 2, 3, 4, 5, 6});   // 2 x 3
  Numbers<double> B = matrix(3, {1, 0, 2, 1, 0, -1});  // 3 x 2
  Numbers<double> C = matrix(2, {1, 1, 1, 1});
  naive.gemm(Transpose::no, Transpose::no, 2, A, B, -1, C, MathMode::strict);
  EXPECT_EQ(C.elements, (Elements{9, -3, 27, -3}));
  Numbers<double> D = matrix(3, Elements(9, nan));
  naive.gemm(Transpose::yes, Transpose::yes, 1, A, B, 0, D, MathMode::strict);  // A^T B^T
  EXPECT_EQ(D.elements, (Elements{1, 6, -4, 2, 9, -5, 3, 12, -6}));
}

TEST_F(reference_backend, syrk_writes_one_triangle) {
  Numbers<double> A = matrix(2, {1, 2, 3, 4});
  Numbers<double> C = matrix(2, Elements(4, -7));
  naive.syrk(Triangle::lower, Transpose::no, 1, A, 0, C);  // A A^T
  EXPECT_EQ(C.elements, (Elements{5, -7, 11, 25}));
  C.elements = Elements(4, 1);
  naive.syrk(Triangle::upper, Transpose::yes, 1, A, 2, C);  // A^T A
  EXPECT_EQ(C.elements, (Elements{12, 16, 1, 22}));
}

TEST_F(reference_backend, symv_reads_one_triangle) {
  Numbers<double> lower = matrix(2, {1, nan, 2, 3});
  Numbers<double> upper = matrix(2, {1, 2, nan, 3});
  Numbers<double> x = vector({10, 1});
  Numbers<double> y = vector({nan, nan});
  naive.symv(Triangle::lower, lower, x, y);
  EXPECT_EQ(y.elements, (Elements{12, 23}));
  naive.symv(Triangle::upper, upper, x, y);
  EXPECT_EQ(y.elements, (Elements{12, 23}));
}

TEST_F(reference_backend, cholesky) {
  // L = (2 0 0; 6 1 0; -8 5 3).
  Numbers<double> A = matrix(3, {4, nan, nan, 12, 37, nan, -16, -43, 98});
  Numbers<double> info = vector({nan});
  naive.potrf(Triangle::lower, A, info, {});
  EXPECT_EQ(info.elements, (Elements{0}));
  EXPECT_EQ((Elements{A.elements[0], A.elements[3], A.elements[4], A.elements[6], A.elements[7],
                      A.elements[8]}),
            (Elements{2, 6, 1, -8, 5, 3}));
  EXPECT_TRUE(std::isnan(A.elements[1])) << "the upper triangle is left alone";
  // A (1, 2, 3) = (-20, -43, 192).
  Numbers<double> b = vector({-20, -43, 192});
  naive.potrs(Triangle::lower, A, b, {});
  EXPECT_EQ(b.elements, (Elements{1, 2, 3}));

  Numbers<double> B = matrix(3, {4, 12, -16, nan, 37, -43, nan, nan, 98});
  naive.potrf(Triangle::upper, B, info, {});
  EXPECT_EQ((Elements{B.elements[0], B.elements[1], B.elements[2], B.elements[4], B.elements[5],
                      B.elements[8]}),
            (Elements{2, 6, -8, 1, 5, 3}));
  b.elements = {-20, -43, 192};
  naive.potrs(Triangle::upper, B, b, {});
  EXPECT_EQ(b.elements, (Elements{1, 2, 3}));

  Numbers<double> indefinite = matrix(2, {1, 0, 2, 3});
  naive.potrf(Triangle::lower, indefinite, info, {});
  EXPECT_EQ(info.elements, (Elements{2})) << "the second pivot is 3 - 2^2";
}

TEST_F(reference_backend, cholesky_of_several) {
  // L = (2 0; 6 1), A = (4 12; 12 37): A (1, 2) = (28, 86), A (-1, 0) = (-4, -12).
  Numbers<double> A = matrix(2, {4, nan, 12, 37});
  Numbers<double> info = vector({nan});
  naive.potrf(Triangle::lower, A, info, {});
  Numbers<double> b = matrix(2, {28, 86, -4, -12});
  naive.potrs(Triangle::lower, A, b, {});
  EXPECT_EQ(b.elements, (Elements{1, 2, -1, 0}));
}

TEST_F(reference_backend, eigenvalues) {
  // (2 1; 1 2): 1 of (1, -1) / sqrt(2), 3 of (1, 1) / sqrt(2).
  Numbers<double> A = matrix(2, {2, nan, 1, 2});
  Numbers<double> w = vector({nan, nan});
  Numbers<double> info = vector({nan});
  naive.syevd(A, w, info, {});
  EXPECT_EQ(info.elements, (Elements{0}));
  EXPECT_DOUBLE_EQ(w.elements[0], 1);
  EXPECT_DOUBLE_EQ(w.elements[1], 3);
  const double half = std::sqrt(0.5);
  EXPECT_DOUBLE_EQ(std::abs(A.elements[0]), half);
  EXPECT_DOUBLE_EQ(A.elements[0], -A.elements[1]);
  EXPECT_DOUBLE_EQ(std::abs(A.elements[2]), half);
  EXPECT_DOUBLE_EQ(A.elements[2], A.elements[3]);
  // A diagonal is put in order; u u^T of u = (2, -1, 2) has 9 and twice 0.
  Numbers<double> diagonal = matrix(2, {5, nan, 0, -1});
  naive.syevd(diagonal, w, info, {});
  EXPECT_EQ(w.elements, (Elements{-1, 5}));
  EXPECT_EQ(diagonal.elements, (Elements{0, 1, 1, 0}));
  Numbers<double> B = matrix(3, {4, nan, nan, -2, 1, nan, 4, -2, 4});
  Numbers<double> three = vector({nan, nan, nan});
  naive.syevd(B, three, info, {});
  EXPECT_NEAR(three.elements[0], 0, 1e-15);
  EXPECT_NEAR(three.elements[1], 0, 1e-15);
  EXPECT_DOUBLE_EQ(three.elements[2], 9);
  EXPECT_DOUBLE_EQ(B.elements[6], -2 * B.elements[7]);
}

TEST_F(reference_backend, smallest_pivots) {
  // U = (2 . .; 1 . ; 3) is of a matrix with the diagonal 4 - 1, 37 - 1, 98 - 1 and the shift 1.
  Numbers<double> A = matrix(3, {3, nan, nan, nan, 36, nan, nan, nan, 97});
  Numbers<double> U = matrix(3, {2, nan, nan, nan, -1, nan, nan, nan, 3});
  Numbers<double> result = vector({nan, nan});
  naive.smallest_pivots(A, 1.0, U, result);
  EXPECT_EQ(result.elements, (Elements{1.0 / 37, 1}));
  A.elements[8] = 899;  // 9 / 900 is less than 1 / 37
  naive.smallest_pivots(A, 1.0, U, result);
  EXPECT_EQ(result.elements, (Elements{0.01, 1}));
  for (const int i : {0, 4, 8}) {
    Numbers<double> bad = U;
    bad.elements[i] = nan;
    naive.smallest_pivots(A, 1.0, bad, result);
    EXPECT_TRUE(std::isnan(result.elements[0]) && std::isnan(result.elements[1])) << i;
    bad = A;
    bad.elements[i] = nan;
    naive.smallest_pivots(bad, 1.0, U, result);
    EXPECT_TRUE(std::isnan(result.elements[0])) << i;
    EXPECT_EQ(result.elements[1], 1) << i;
  }
}

TEST_F(reference_backend, diagonals_and_triangles) {
  Numbers<double> A = matrix(2, {1, 2, 3, 4});
  naive.add_to_diagonal(0.5, A);
  EXPECT_EQ(A.elements, (Elements{1.5, 2, 3, 4.5}));
  Numbers<double> d = vector({0, 0});
  naive.copy(diagonal_of(A), d);
  EXPECT_EQ(d.elements, (Elements{1.5, 4.5}));
  Numbers<double> U = matrix(2, {7, 7, 7, 7});
  naive.mirror(A, U);
  EXPECT_EQ(U.elements, (Elements{1.5, 3, 7, 4.5}));
  Numbers<double> flag = vector({0});
  naive.identity_unless(flag, Triangle::lower, A);
  EXPECT_EQ(A.elements, (Elements{1, 2, 0, 1}));
  Numbers<double> B = matrix(2, {1, 2, -3, 4});
  naive.column_sums(0.5, B, d);
  EXPECT_EQ(d.elements, (Elements{-1, 3}));
  Numbers<double> squares = vector({100, 100});
  naive.column_squares(B, true, squares);
  EXPECT_EQ(squares.elements, (Elements{110, 120}));
  naive.column_squares(B, false, squares);
  EXPECT_EQ(squares.elements, (Elements{10, 20}));
}

TEST_F(reference_backend, norm_and_trace) {
  Numbers<double> lower = matrix(2, {1, nan, -5, -3});
  Numbers<double> upper = matrix(2, {1, -5, nan, -3});
  Numbers<double> norm = vector({nan});
  Numbers<double> trace = vector({nan});
  naive.norm_and_trace(lower, upper, norm, trace);
  EXPECT_EQ(norm.elements, (Elements{8}));
  EXPECT_EQ(trace.elements, (Elements{-2}));
  lower.elements[2] = upper.elements[1] = nan;
  naive.norm_and_trace(lower, upper, norm, trace);
  EXPECT_FALSE(std::isfinite(norm.elements[0]));
}

TEST_F(reference_backend, row_scaling) {
  Numbers<double> weights = vector({4, 9});
  Numbers<double> coefficients = vector({10, -1});
  Numbers<double> scale = vector({0, 0});
  Numbers<double> rhs = vector({0, 0});
  naive.row_scaling(weights, nan, coefficients, 0.0, -2, scale, rhs);
  EXPECT_EQ(scale.elements, (Elements{-4, -6}));
  EXPECT_EQ(rhs.elements, (Elements{20, -3}));
  Numbers<double> reference = vector({4});
  naive.row_scaling(weights, nan, coefficients, View(reference), -2, scale, rhs);
  EXPECT_EQ(scale.elements, (Elements{-4, -6}));
  EXPECT_EQ(rhs.elements, (Elements{2 * (10 - 4), 3 * (-1 - 4)}));
  naive.row_scaling({}, 0.25, {}, 0.0, 1, scale, rhs);
  EXPECT_EQ(scale.elements, (Elements{0.5, 0.5}));
  EXPECT_EQ(rhs.elements, (Elements{0.5, 0.5}));
  naive.row_scaling({}, 0.25, {}, 3.0, 1, scale, rhs);
  EXPECT_EQ(rhs.elements, (Elements{-1, -1}));
}

TEST_F(reference_backend, projections) {
  Numbers<double> u = vector({3, 4});
  Numbers<double> y = vector({5, 10});
  naive.project(u, y);
  EXPECT_NEAR(y.elements[0], 5 - 11 * 0.6, 1e-14);
  EXPECT_NEAR(y.elements[1], 10 - 11 * 0.8, 1e-14);

  // A = (1 0; 0 2), A u = (3, 8), u . A u = 41, |u|^2 = 25.
  Numbers<double> A = matrix(2, {1, nan, 0, 2});
  Numbers<double> product = vector({3, 8});
  naive.project_matrix(Triangle::lower, u, product, A);
  EXPECT_NEAR(A.elements[0], 1 - 2 * 0.36 + 1.64 * 0.36, 1e-14);
  EXPECT_NEAR(A.elements[2], -1.6 * 0.6 - 0.8 * 0.6 + 1.64 * 0.48, 1e-14);
  EXPECT_NEAR(A.elements[3], 2 - 2 * 0.8 * 1.6 + 1.64 * 0.64, 1e-14);

  Numbers<double> zero = vector({0, 0});
  naive.project(zero, product);
  EXPECT_EQ(product.elements, (Elements{3, 8}));
}

TEST_F(reference_backend, activations) {
  struct Value {
    Activation activation;
    double z, a, derivative;
  };
  const double ln2 = std::numbers::ln2;
  // tanh(ln 2) = (4 - 1) / (4 + 1); sigmoid(ln 2) = 2 / 3.
  for (const Value& value :
       {Value{Activation::identity, -1.5, -1.5, 1}, Value{Activation::tanh, ln2, 0.6, 0.64},
        Value{Activation::relu, -1.5, 0, 0}, Value{Activation::relu, 2, 2, 1},
        Value{Activation::relu, 0, 0, 0}, Value{Activation::sigmoid, ln2, 2.0 / 3, 2.0 / 9},
        Value{Activation::gelu, 0, 0, 0.5},
        // Phi(1) = 0.84134474606854295, phi(1) = 0.24197072451914335
        Value{Activation::gelu, 1, 0.84134474606854295,
              0.84134474606854295 + 0.24197072451914335}}) {
    SCOPED_TRACE(to_string(value.activation));
    Numbers<double> bias = vector({0.5});
    Numbers<double> z = matrix(1, {value.z - 0.5});
    Numbers<double> a = matrix(1, {nan});
    Numbers<double> delta = matrix(1, {-3});
    naive.bias_activation(value.activation, bias, z, a);
    expect_near(z.elements, {value.z});
    expect_near(a.elements, {value.a});
    naive.activation_backward(value.activation, z, a, delta);
    expect_near(delta.elements, {-3 * value.derivative});
  }
}

TEST_F(reference_backend, evaluate) {
  SolveScalars solve{};
  solve.shift = 4;
  const DampingState damping = {.absolute = 0, .relative = 0, .l2 = 3};
  double factor = nan;
  naive.evaluate(formulas::PullToZero{&solve, &damping, &factor});
  EXPECT_EQ(factor, -0.75);

  solve.outcome = formulas::outcome_accepted;
  StepScalars step{};
  step.finite = 0;
  naive.evaluate(formulas::JudgeDirection{&solve, &step});
  EXPECT_EQ(solve.outcome, static_cast<double>(Outcome::not_finite));
  EXPECT_EQ(step.accept, 0);
}

TEST_F(reference_backend, publish) {
  Numbers<double> record = vector({5, 0.5});
  Numbers<double> slots = matrix(3, Elements(6, -1));
  naive.publish(record, slots);
  EXPECT_EQ(slots.elements, (Elements{-1, -1, 5, 0.5, -1, -1})) << "the fifth of 3 is the second";
  record.elements = {6, 7};
  naive.publish(record, slots);
  EXPECT_EQ(slots.elements, (Elements{-1, -1, 5, 0.5, 6, 7}));
}

}  // namespace

}  // namespace natgrad::tests
