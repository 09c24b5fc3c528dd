#pragma once

#include "natgrad/array.hpp"
#include "natgrad/context.hpp"
#include "natgrad/spectrum.hpp"
#include "natgrad/types.hpp"

#include <cstdint>
#include <functional>
#include <vector>

namespace natgrad::detail {

/// Eigenvalues and eigenvectors of one matrix: of F in parameter space, of K = S S^T in sample
/// space, of a diagonal; or of every block. All in double. Whatever computes them waits.
struct Eigensystem {
  bool known = false;  // not of blocks: each knows for itself
  Outcome outcome = Outcome::accepted;
  std::int64_t possible = 0;  // eigenvalues that can be non-zero: the last ones, min(N, P)
  /// Ascending, rounding is 0. Of a diagonal in the order of the parameters.
  std::vector<double> values;
  Array vectors;  // V^T (n, n): row k belongs to values[k]. A diagonal has none
  std::vector<Eigensystem> blocks;

  /// Those of the symmetric matrix whose lower triangle `matrix` (n, n) holds, made of N = `rows`
  /// rows of P = `parameters` numbers. About 9 n^3 operations.
  void decompose(const Context& context, Array matrix, std::int64_t rows, std::int64_t parameters);
  /// Those of a diagonal (P) float64.
  void read_diagonal(const Context& context, const ConstView& diagonal);

  /// x = V f(Lambda) V^T x for x (n) float64, or x = f(Lambda) x of a diagonal. 4 n^2 operations.
  void apply(const Context& context, const std::function<double(double)>& f, const View& x) const;

  /// Over all blocks: the first outcome that is not accepted, and the largest eigenvalue.
  Outcome common_outcome() const;
  double largest() const;
  /// Of F with P = `size`.
  Spectrum spectrum(std::int64_t size) const;

 private:
  void collect(std::vector<double>& to) const;
};

/// 1 / value^power above a cut-off, else 0: the eigenvalues of a pseudo-inverse.
inline std::function<double(double)> inverse_above(double cutoff, int power) {
  return [=](double value) {
    if (!(value > cutoff && value > 0)) return 0.0;
    return power == 1 ? 1 / value : 1 / value / value;
  };
}

}  // namespace natgrad::detail
