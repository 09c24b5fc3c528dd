#include "support/operation_table.hpp"
#include "support/tolerance.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

// The smallest pivots of a factor, and how far they lie below the diagonal of its matrix.

namespace natgrad::tests {

namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();
constexpr double infinity = std::numeric_limits<double>::infinity();

struct Square {
  std::int64_t n, padding;
};

/// A and a factor of which only the diagonals hold numbers.
struct Diagonals {
  Operand A;
  Operand factor;
  Operand result;

  Diagonals(Trial& trial, std::int64_t n, ElementType type)
      : A(trial.matrix(n, n, type, Use::input)),
        factor(trial.matrix(n, n, type, Use::input, Part::upper)),
        result(trial.vector(2, ElementType::float64, Use::output)) {}

  static void set(Trial& trial, Operand matrix, const std::vector<double>& diagonal) {
    const std::size_t n = diagonal.size();
    std::vector<double> elements(n * n, nan);
    for (std::size_t i = 0; i < n; ++i) elements[i * n + i] = diagonal[i];
    trial.set(matrix, elements);
  }

  void run(Trial& trial, double shift) const {
    trial.run([&](Backend& backend, const Side& of) {
      backend.smallest_pivots(of(A), of(shift), of(factor), of(result));
    });
  }
};

constexpr Square pivot_squares[] = {{1, 0}, {1, 2}, {2, 0}, {13, 3}, {256, 0}, {257, 1}, {300, 3}};

void finds_smallest_pivots(TestDevice& device, ElementType type) {
  for (const Square& s : pivot_squares) {
    // Where the smallest pivot is, and the smallest share.
    for (const std::int64_t i : {std::int64_t{0}, s.n / 2, s.n - 1}) {
      for (const std::int64_t j : {std::int64_t{0}, s.n / 2, s.n - 1}) {
        SCOPED_TRACE(std::to_string(s.n) + ", pivot " + std::to_string(i) + ", share " +
                     std::to_string(j));
        Trial trial(device, s.padding);
        const Diagonals d(trial, s.n, type);
        std::vector<double> A(s.n, 3);
        std::vector<double> U(s.n, -1);
        U[i] = 0.5;   // shares 1 / (3 + 1), here a quarter of it
        A[j] += 124;  // and 1 / (127 + 1)
        Diagonals::set(trial, d.A, A);
        Diagonals::set(trial, d.factor, U);
        d.run(trial, 1);
        trial.expect_equal(d.result);
        EXPECT_EQ(trial.actual(d.result), (std::vector<double>{i == j ? 0x1p-9 : 0x1p-7, 0.25}));
      }
    }
  }
}

void finds_random_pivots(TestDevice& device, ElementType type) {
  for (const Square& s : pivot_squares) {
    SCOPED_TRACE("n " + std::to_string(s.n) + ", padding " + std::to_string(s.padding));
    Trial trial(device, s.padding);
    const Diagonals d(trial, s.n, type);
    std::vector<double> A = random_elements(s.n, 5);
    for (double& element : A) element = std::abs(element);
    Diagonals::set(trial, d.A, A);
    Diagonals::set(trial, d.factor, random_elements(s.n, 6));
    const Operand shift = trial.scalar(0.3);
    trial.run([&](Backend& backend, const Side& of) {
      backend.smallest_pivots(of(d.A), of(shift), of(d.factor), of(d.result));
    });
    trial.expect_rounded(d.result, 2);
  }
}

void keeps_pivots_that_are_not_numbers(TestDevice& device, ElementType type) {
  for (const std::int64_t n : {1, 13, 300}) {
    for (const std::int64_t i : {std::int64_t{0}, n / 2, n - 1}) {
      SCOPED_TRACE(std::to_string(n) + ", " + std::to_string(i));
      const auto expect = [&](double a, double u, double shift, double ratio, double pivot) {
        Trial trial(device);
        const Diagonals d(trial, n, type);
        std::vector<double> A(n, 1);
        std::vector<double> U(n, 1);
        A[i] = a;
        U[i] = u;
        Diagonals::set(trial, d.A, A);
        Diagonals::set(trial, d.factor, U);
        trial.run([&](Backend& backend, const Side& of) {
          backend.smallest_pivots(of(d.A), shift, of(d.factor), of(d.result));
        });
        trial.expect_equal(d.result);
        EXPECT_TRUE(is_within(trial.actual(d.result)[0], ratio, 0)) << trial.actual(d.result)[0];
        EXPECT_TRUE(is_within(trial.actual(d.result)[1], pivot, 0)) << trial.actual(d.result)[1];
      };
      const double others = n == 1 ? infinity : 1;
      expect(1, nan, 0, nan, nan);
      expect(nan, 1, 0, nan, 1);
      expect(1, 1, nan, nan, 1);
      expect(-1, 0, 1, nan, 0);  // 0 / 0
      expect(1, 0, 0, 0, 0);
      expect(-3, 1, 1, -0.5, 1);
      expect(1, infinity, 0, others, others);
      expect(infinity, infinity, 0, nan, others);
    }
  }
}

void finds_no_pivot(TestDevice& device, ElementType type) {
  for (const std::int64_t padding : {0, 2}) {
    Trial trial(device, padding);
    const Diagonals d(trial, 0, type);
    d.run(trial, 1);
    trial.expect_equal(d.result);
    EXPECT_EQ(trial.actual(d.result), (std::vector<double>{infinity, infinity}));
  }
}

}  // namespace

void add_pivot_cases(OperationTable& table) {
  table.add_types("smallest_pivots", "", finds_smallest_pivots);
  table.add_types("smallest_pivots", "random", finds_random_pivots);
  table.add_types("smallest_pivots", "not_finite", keeps_pivots_that_are_not_numbers);
  table.add_types("smallest_pivots", "empty", finds_no_pivot);
}

}  // namespace natgrad::tests
