#pragma once

#include "support/plain.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <functional>
#include <limits>
#include <numeric>
#include <vector>

namespace natgrad::tests {

/// Eigenvalues and eigenvectors of F = S^T S from S itself, by rotations that make its columns
/// orthogonal (Hestenes 1958), in long double: small eigenvalues are right to many digits, too,
/// which those of a rounded F are not.
class PlainSpectrum {
 public:
  explicit PlainSpectrum(const Table& S) {
    const std::size_t P = S.columns;
    std::vector<Column> G(P, Column(S.rows));
    std::vector<Column> V(P, Column(P));
    for (std::size_t j = 0; j < P; ++j) {
      V[j][j] = 1;
      for (std::size_t n = 0; n < S.rows; ++n) G[j][n] = S(n, j);
    }
    constexpr int sweeps = 20;
    for (int sweep = 0; sweep < sweeps; ++sweep) {
      for (std::size_t p = 0; p < P; ++p) {
        for (std::size_t q = p + 1; q < P; ++q) make_orthogonal(G[p], G[q], V[p], V[q]);
      }
    }
    std::vector<std::size_t> order(P);
    std::iota(order.begin(), order.end(), 0);
    std::sort(order.begin(), order.end(),
              [&](auto i, auto j) { return product(G[i], G[i]) < product(G[j], G[j]); });
    for (const std::size_t k : order) {
      values_.push_back(product(G[k], G[k]));
      vectors_.push_back(V[k]);
    }
    const std::size_t zeros = P - std::min(P, S.rows);  // exactly
    std::fill_n(values_.begin(), zeros, 0.0L);
  }

  /// All P of them, ascending.
  Numbers values() const { return {values_.begin(), values_.end()}; }
  double largest() const { return static_cast<double>(values_.back()); }

  /// V f(Lambda) V^T x.
  Numbers apply(const std::function<double(double)>& f, const Numbers& x) const {
    const std::size_t P = values_.size();
    Column sum(P);
    for (std::size_t k = 0; k < P; ++k) {
      long double component = 0;
      for (std::size_t i = 0; i < P; ++i) component += vectors_[k][i] * x[i];
      component *= f(static_cast<double>(values_[k]));
      for (std::size_t i = 0; i < P; ++i) sum[i] += component * vectors_[k][i];
    }
    return {sum.begin(), sum.end()};
  }
  /// The diagonal of V f(Lambda) V^T.
  Numbers diagonal(const std::function<long double(long double)>& f) const {
    const std::size_t P = values_.size();
    Column sum(P);
    for (std::size_t k = 0; k < P; ++k) {
      const long double weight = f(values_[k]);
      for (std::size_t i = 0; i < P; ++i) sum[i] += weight * vectors_[k][i] * vectors_[k][i];
    }
    return {sum.begin(), sum.end()};
  }

 private:
  using Column = std::vector<long double>;

  static long double product(const Column& x, const Column& y) {
    return std::inner_product(x.begin(), x.end(), y.begin(), 0.0L);
  }

  static void make_orthogonal(Column& x, Column& y, Column& v, Column& w) {
    const long double a = product(x, x);
    const long double b = product(y, y);
    const long double c = product(x, y);
    constexpr long double epsilon = std::numeric_limits<long double>::epsilon();
    if (std::abs(c) <= epsilon * std::sqrt(a * b)) return;
    const long double zeta = (b - a) / (2 * c);
    const long double t = (zeta < 0 ? -1 : 1) / (std::abs(zeta) + std::sqrt(1 + zeta * zeta));
    const long double cosine = 1 / std::sqrt(1 + t * t);
    const auto turn = [&](Column& of, Column& other) {
      for (std::size_t i = 0; i < of.size(); ++i) {
        const long double before = of[i];
        of[i] = cosine * (before - t * other[i]);
        other[i] = cosine * (other[i] + t * before);
      }
    };
    turn(x, y);
    turn(v, w);
  }

  std::vector<long double> values_;
  std::vector<Column> vectors_;  // one a value
};

}  // namespace natgrad::tests
