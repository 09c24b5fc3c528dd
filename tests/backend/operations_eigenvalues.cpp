#include "support/operation_table.hpp"
#include "support/tolerance.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <utility>
#include <vector>

// Eigenvalues: judged by their backward error, since vectors are only as good as the matrix.

namespace natgrad::tests {

namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();

struct EigenSize {
  std::int64_t n, padding;
};

/// A symmetric matrix whose eigenvalues are wanted, with NaN where nothing may be read.
struct Eigenvalues {
  static constexpr ElementType type = ElementType::float64;
  Trial trial;
  std::int64_t n;
  Operand A;
  Operand w;
  Operand info;
  std::vector<double> lower;

  Eigenvalues(TestDevice& device, const EigenSize& s, std::vector<double> elements)
      : trial(device, s.padding),
        n(s.n),
        A(trial.matrix(n, n, type, Use::both)),
        w(trial.vector(n, type, Use::output)),
        info(trial.scalar_output()),
        lower(std::move(elements)) {
    std::vector<double> given = lower;
    for (std::int64_t i = 0; i < n; ++i) {
      for (std::int64_t j = i + 1; j < n; ++j) given[i * n + j] = nan;
    }
    trial.set(A, given);
    trial.run([&](Backend& backend, const Side& of) {
      backend.syevd(of(A), of(w), of(info), of.eigenvalue_scratch(A));
    });
  }

  double at(std::int64_t i, std::int64_t j) const {
    return lower[std::max(i, j) * n + std::min(i, j)];
  }

  /// What a backward stable method may err by: a modest multiple of n eps |A|.
  double bound() const {
    double square = 0;
    for (std::int64_t i = 0; i < n; ++i) {
      for (std::int64_t j = 0; j < n; ++j) square += at(i, j) * at(i, j);
    }
    return rounding_bound(static_cast<double>(n + 4), type, std::sqrt(square));
  }

  /// Ascending, those of the reference; A v_k = w_k v_k, V^T V = I.
  void expect_right() const {
    EXPECT_EQ(trial.actual(info), (std::vector<double>{0}));
    trial.expect_within(w, bound());
    const std::vector<double>& V = trial.actual(A);
    const std::vector<double>& values = trial.actual(w);
    for (std::int64_t k = 0; k < n; ++k) {
      EXPECT_LE(values[std::max<std::int64_t>(k - 1, 0)], values[k]);
      for (std::int64_t i = 0; i < n; ++i) {
        double product = 0;
        double overlap = 0;
        for (std::int64_t j = 0; j < n; ++j) {
          product += at(i, j) * V[k * n + j];
          overlap += V[i * n + j] * V[k * n + j];
        }
        ASSERT_TRUE(within(product, values[k] * V[k * n + i], 2 * bound())) << k << ", " << i;
        ASSERT_TRUE(within(overlap, i == k ? 1 : 0,
                           rounding_bound(4 * static_cast<double>(n + 4), type, 1)))
            << k << ", " << i;
      }
    }
  }
};

constexpr EigenSize sizes[] = {{1, 0}, {1, 2}, {2, 1}, {13, 3}, {64, 0}, {97, 5}};

void finds_eigenvalues(TestDevice& device) {
  for (const EigenSize& s : sizes) {
    SCOPED_TRACE("n " + std::to_string(s.n) + ", padding " + std::to_string(s.padding));
    const std::vector<double> G = random_elements(s.n * s.n, 7);
    Eigenvalues(device, s, G).expect_right();  // of both signs
    // Of rank one but for 1e-9, with eigenvalues that are equal.
    std::vector<double> A(G.size());
    for (std::int64_t i = 0; i < s.n; ++i) {
      for (std::int64_t j = 0; j < s.n; ++j) A[i * s.n + j] = G[i] * G[j] + (i == j ? 1e-9 : 0);
    }
    Eigenvalues(device, s, A).expect_right();
    Eigenvalues(device, s, std::vector<double>(G.size())).expect_right();
  }
}

void finds_no_eigenvalue(TestDevice& device) {
  for (const std::int64_t padding : {0, 2}) Eigenvalues(device, {0, padding}, {}).expect_right();
}

}  // namespace

void add_eigenvalue_cases(OperationTable& table) {
  table.add("syevd", "", finds_eigenvalues);
  table.add("syevd", "empty", finds_no_eigenvalue);
}

}  // namespace natgrad::tests
