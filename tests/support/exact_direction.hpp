#pragma once

#include "natgrad/natgrad.hpp"
#include "support/device.hpp"
#include "support/layered_batch.hpp"
#include "support/plain.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace natgrad::tests {

using LongNumbers = std::vector<long double>;

inline long double norm(const LongNumbers& x) {
  long double square = 0;
  for (long double value : x) square += value * value;
  return std::sqrt(square);
}

/// Solutions d of (S^T S + lambda I) d = g that are known to far more digits than double holds
/// safely: the library's solve in double, corrected by residuals in long double. What a solution
/// errs by at most follows from its last residual alone, whatever solved for it.
class ExactDirection {
 public:
  /// `rows`: S itself, with all weights.
  explicit ExactDirection(const Table& rows)
      : S_(rows),
        theta_(Numbers(rows.columns, 0.0)),
        ones_(Numbers(rows.rows, 1.0)),
        rows_(rows),
        scores_(with(theta_)) {
    scores_.begin(rows_.view(), {.weights = ones_.view()});
  }
  ExactDirection(const ExactDirection&) = delete;
  ExactDirection& operator=(const ExactDirection&) = delete;

  LongNumbers apply(const LongNumbers& v) const {
    LongNumbers z(S_.rows, 0.0L);
    for (std::size_t n = 0; n < S_.rows; ++n) {
      const double* row = S_.elements.data() + n * S_.columns;
      long double sum = 0;
      for (std::size_t j = 0; j < S_.columns; ++j) sum += row[j] * v[j];
      z[n] = sum;
    }
    return z;
  }
  LongNumbers adjoint(const LongNumbers& y) const {
    LongNumbers g(S_.columns, 0.0L);
    for (std::size_t n = 0; n < S_.rows; ++n) {
      const double* row = S_.elements.data() + n * S_.columns;
      for (std::size_t j = 0; j < S_.columns; ++j) g[j] += row[j] * y[n];
    }
    return g;
  }

  /// For g, and for g = S^T r.
  Numbers solve(const LongNumbers& g, double lambda) const {
    FisherMatrix fisher(scores_.parameters(), {.damping = {.absolute = lambda}});
    fisher.accumulate(scores_);
    LongNumbers d(g.size(), 0.0L);
    Tensor<double> residual(Numbers(g.size(), 0.0));
    Tensor<double> correction = residual;
    bool close = false;
    for (int repeat = 0; repeat < 12 && !close; ++repeat) {
      const LongNumbers product = adjoint(apply(d));
      LongNumbers rest(g.size());
      for (std::size_t j = 0; j < g.size(); ++j) rest[j] = g[j] - product[j] - lambda * d[j];
      // |d - exact| <= |rest| / lambda, for no eigenvalue of the system is below lambda.
      close = norm(rest) <= 1e-10L * lambda * norm(d);
      for (std::size_t j = 0; j < g.size(); ++j) residual(j) = static_cast<double>(rest[j]);
      fisher.solve(Gradient{.view = residual.view()}, correction.view());
      EXPECT_EQ(fisher.report().outcome, Outcome::accepted);
      for (std::size_t j = 0; j < g.size(); ++j) d[j] += correction(j);
    }
    EXPECT_TRUE(close) << "the reference is not exact";
    return {d.begin(), d.end()};
  }
  Numbers solve_rows(const Numbers& r, double lambda) const {
    return solve(adjoint({r.begin(), r.end()}), lambda);
  }

 private:
  static DenseScores with(Tensor<double>& theta) {
    Parameters parameters(test_context());
    parameters.add(theta.view());
    return DenseScores(parameters);
  }
  Table S_;
  Tensor<double> theta_;
  Tensor<double> ones_;
  Tensor<double> rows_;
  DenseScores scores_;
};

}  // namespace natgrad::tests
