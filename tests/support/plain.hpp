#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

// The formulas of the library once more, in double, with loops that can be read at a glance and
// nothing of the library in them.

namespace natgrad::tests {

using Numbers = std::vector<double>;

/// A matrix, row by row.
struct Table {
  std::size_t rows = 0;
  std::size_t columns = 0;
  Numbers elements;

  Table() = default;
  Table(std::size_t rows, std::size_t columns)
      : rows(rows), columns(columns), elements(rows * columns, 0.0) {}
  double& operator()(std::size_t i, std::size_t j) { return elements[i * columns + j]; }
  double operator()(std::size_t i, std::size_t j) const { return elements[i * columns + j]; }
};

/// Numbers in (-1, 1), the same in every run and on every machine (SplitMix64, Steele 2014).
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}
  double operator()() {
    std::uint64_t z = (state_ += 0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return std::ldexp(static_cast<double>((z ^ (z >> 31)) >> 11), -52) - 1;
  }
  Numbers numbers(std::size_t count) {
    Numbers values(count);
    for (double& value : values) value = (*this)();
    return values;
  }
  Table table(std::size_t rows, std::size_t columns) {
    Table values(rows, columns);
    values.elements = numbers(rows * columns);
    return values;
  }

 private:
  std::uint64_t state_;
};

inline double dot(const Numbers& x, const Numbers& y) {
  double sum = 0;
  for (std::size_t i = 0; i < x.size(); ++i) sum += x[i] * y[i];
  return sum;
}

/// a x + y.
inline Numbers sum(double a, const Numbers& x, Numbers y) {
  for (std::size_t i = 0; i < x.size(); ++i) y[i] += a * x[i];
  return y;
}

inline Table transposed(const Table& A) {
  Table B(A.columns, A.rows);
  for (std::size_t i = 0; i < A.rows; ++i) {
    for (std::size_t j = 0; j < A.columns; ++j) B(j, i) = A(i, j);
  }
  return B;
}

inline Numbers multiply(const Table& A, const Numbers& x) {
  Numbers y(A.rows, 0.0);
  for (std::size_t i = 0; i < A.rows; ++i) {
    for (std::size_t j = 0; j < A.columns; ++j) y[i] += A(i, j) * x[j];
  }
  return y;
}

/// A A^T: the Gram matrix of rows; that of their transpose is the Fisher matrix.
inline Table gram(const Table& A) {
  Table K(A.rows, A.rows);
  for (std::size_t i = 0; i < A.rows; ++i) {
    for (std::size_t j = 0; j < A.rows; ++j) {
      for (std::size_t k = 0; k < A.columns; ++k) K(i, j) += A(i, k) * A(j, k);
    }
  }
  return K;
}

inline double trace(const Table& A) {
  double sum = 0;
  for (std::size_t i = 0; i < A.rows; ++i) sum += A(i, i);
  return sum;
}

inline double infinity_norm(const Table& A) {
  double norm = 0;
  for (std::size_t i = 0; i < A.rows; ++i) {
    double row = 0;
    for (std::size_t j = 0; j < A.columns; ++j) row += std::abs(A(i, j));
    norm = std::fmax(norm, row);
  }
  return norm;
}

/// (A + damping I)^-1 b by elimination with partial pivoting.
inline Numbers solve(Table A, double damping, Numbers b) {
  const std::size_t n = A.rows;
  for (std::size_t i = 0; i < n; ++i) A(i, i) += damping;
  for (std::size_t k = 0; k < n; ++k) {
    std::size_t pivot = k;
    for (std::size_t i = k + 1; i < n; ++i) {
      if (std::abs(A(i, k)) > std::abs(A(pivot, k))) pivot = i;
    }
    for (std::size_t j = 0; j < n; ++j) std::swap(A(k, j), A(pivot, j));
    std::swap(b[k], b[pivot]);
    for (std::size_t i = k + 1; i < n; ++i) {
      const double factor = A(i, k) / A(k, k);
      for (std::size_t j = k; j < n; ++j) A(i, j) -= factor * A(k, j);
      b[i] -= factor * b[k];
    }
  }
  for (std::size_t k = n; k-- > 0;) {
    for (std::size_t j = k + 1; j < n; ++j) b[k] -= A(k, j) * b[j];
    b[k] /= A(k, k);
  }
  return b;
}

/// (S^T S + damping I)^-1 S^T r.
inline Numbers damped_direction(const Table& S, double damping, const Numbers& r) {
  const Table columns = transposed(S);
  return solve(gram(columns), damping, multiply(columns, r));
}

/// Rows sqrt(w_n) scale s_n of scores s_n.
inline Table weighted(Table scores, const Numbers& weights, double scale = 1) {
  for (std::size_t i = 0; i < scores.rows; ++i) {
    for (std::size_t j = 0; j < scores.columns; ++j) scores(i, j) *= scale * std::sqrt(weights[i]);
  }
  return scores;
}

/// r: sqrt(w_n) c_n.
inline Numbers right_hand_side(const Numbers& weights, Numbers coefficients) {
  for (std::size_t i = 0; i < weights.size(); ++i) coefficients[i] *= std::sqrt(weights[i]);
  return coefficients;
}

/// Rows [first, first + count) of a table.
inline Table row_range(const Table& A, std::size_t first, std::size_t count) {
  Table part(count, A.columns);
  for (std::size_t i = 0; i < count; ++i) {
    for (std::size_t j = 0; j < A.columns; ++j) part(i, j) = A(first + i, j);
  }
  return part;
}

}  // namespace natgrad::tests
