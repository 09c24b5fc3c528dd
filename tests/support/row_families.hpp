#pragma once

#include "support/plain.hpp"

#include <cmath>
#include <cstddef>

namespace natgrad::tests {

/// Rows that a solve finds easy, and two kinds that it finds hard.
enum class Family { random, decaying, common_mean };

inline const char* name_of(Family family) {
  switch (family) {
    case Family::random:
      return "random";
    case Family::decaying:
      return "singular values 1 to 1e-4";
    default:
      return "common mean, 30 times the spread";
  }
}

/// An orthogonal matrix times A: rotations by random angles of pairs of rows at every power of two
/// apart, so that every row takes part of every other.
inline void rotate_rows(Table& A, Random& random) {
  for (std::size_t apart = 1; apart < A.rows; apart *= 2) {
    for (std::size_t i = 0; i + apart < A.rows; ++i) {
      const double angle = 3.14159265358979323846 * random();
      const double c = std::cos(angle);
      const double s = std::sin(angle);
      for (std::size_t j = 0; j < A.columns; ++j) {
        const double x = A(i, j);
        const double y = A(i + apart, j);
        A(i, j) = c * x - s * y;
        A(i + apart, j) = s * x + c * y;
      }
    }
  }
}

/// Scores s_n (n, p) whose numbers are floats.
inline Table family_rows(Family family, std::size_t n, std::size_t p, Random& random) {
  Table rows(n, p);
  if (family == Family::decaying) {
    const std::size_t rank = n < p ? n : p;
    for (std::size_t i = 0; i < rank; ++i) {
      rows(i, i) = std::pow(1e-4, static_cast<double>(i) / static_cast<double>(rank - 1));
    }
    rotate_rows(rows, random);
    rows = transposed(rows);
    rotate_rows(rows, random);
    rows = transposed(rows);
  } else {
    rows = random.table(n, p);
    if (family == Family::common_mean) {
      const Numbers mean = random.numbers(p);
      for (std::size_t i = 0; i < n; ++i) {
        for (std::size_t j = 0; j < p; ++j) rows(i, j) += 30 * mean[j];
      }
    }
  }
  for (double& value : rows.elements) value = static_cast<float>(value);
  return rows;
}

/// The largest eigenvalue of S S^T, to a few per cent, by power iteration.
inline double largest_eigenvalue(const Table& S, Random& random) {
  const Table columns = transposed(S);
  Numbers v = random.numbers(S.columns);
  double largest = 0;
  for (int repeat = 0; repeat < 20; ++repeat) {
    const Numbers z = multiply(S, v);
    largest = dot(z, z) / dot(v, v);
    v = multiply(columns, z);
    v = sum(1 / std::sqrt(dot(v, v)) - 1, v, v);
  }
  return largest;
}

}  // namespace natgrad::tests
