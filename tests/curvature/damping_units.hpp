#pragma once

#include "natgrad/natgrad.hpp"
#include "support/plain.hpp"
#include "support/structured.hpp"
#include "support/uses.hpp"

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

// Rows whose damping is in units of their parameters, and (F + lambda D)^-1 g written plainly.

namespace natgrad::tests {

inline constexpr double same = 1e-11;  // relative; the systems' condition is below 1e3
inline constexpr double lambda = 0.3;
inline constexpr std::int64_t samples = 24;

inline const std::vector<std::vector<Use>> nets = {
    {{.inputs = 5, .outputs = 4}, {.inputs = 4, .outputs = 3}},
    {{.inputs = 3, .outputs = 5, .terms = 7},
     {.inputs = 5, .outputs = 2, .terms = 3, .bias_terms = Bias::first_term},
     {.inputs = 0, .outputs = 4}},
    {{.inputs = 6, .outputs = 3, .rows_per_input = 3},
     {.inputs = 3, .outputs = 2, .rows_per_input = 3}},
    {{.inputs = 4, .outputs = 3, .terms = 5, .half = 1, .bias_terms = Bias::first_term},
     {.inputs = 4, .outputs = 3, .half = 2, .same_as = 0},
     {.inputs = 3, .outputs = 2, .half = 1}},
    {{.inputs = 4, .outputs = 4},
     {.inputs = 4, .outputs = 2},
     {.inputs = 4, .outputs = 4, .same_as = 0}}};

/// Weighted rows of a net, or dense ones, whose columns may be measured in other units.
struct Rows {
  UsedRows<double> used;
  Tensor<double> weights;
  Tensor<double> coefficients{Random(3).numbers(samples)};
  Table formed_numbers;
  Tensor<double> formed;
  LayerScores layers{used.parameters, {.kind = FisherKind::exact}};
  DenseScores dense{used.parameters, {.kind = FisherKind::exact}};
  bool as_dense = false;

  explicit Rows(const std::vector<Use>& uses) : used(uses, samples) {
    Numbers w = Random(4).numbers(samples);
    for (double& value : w) value = (1.5 + value) / samples;
    weights = Tensor<double>(w);
    formed_numbers = Random(5).table(samples, size());
    formed = Tensor<double>(formed_numbers, 1);
  }
  std::size_t size() const { return static_cast<std::size_t>(used.parameters.size()); }

  /// Column i of the dense rows times units_i.
  void measure_in(const Numbers& units) {
    for (std::size_t n = 0; n < formed_numbers.rows; ++n) {
      for (std::size_t i = 0; i < size(); ++i) formed(n, i) = formed_numbers(n, i) * units[i];
    }
  }
  const Scores& part(std::int64_t first, std::int64_t count) {
    const RowSet set{.samples = count,
                     .batch_samples = samples,
                     .weights = weights.view().row_range(first, count),
                     .coefficients = coefficients.view().row_range(first, count)};
    if (as_dense) {
      dense.begin(formed.view().row_range(first, count), set);
      return dense;
    }
    used.fill(layers, set, first);
    return layers;
  }
  FisherMatrix matrix(const FisherMatrix::Options& options, bool in_parts = false) {
    FisherMatrix fisher(used.parameters, options);
    if (!in_parts) {
      fisher.accumulate(part(0, samples));
      return fisher;
    }
    for (std::int64_t first : {std::int64_t{0}, std::int64_t{6}}) {
      fisher.accumulate(part(first, first == 0 ? 6 : samples - 6));
    }
    return fisher;
  }
};

inline Table dense_of(const FisherMatrix& fisher) {
  const auto p = static_cast<std::size_t>(fisher.size());
  Tensor<double> matrix(Table(p, p));
  fisher.to_dense(matrix.view());
  return matrix.table();
}

/// D of F, with its own loops.
inline Numbers units_of(const Table& F, const Parameters& parameters, DampingScaling scaling) {
  Numbers D(F.rows, 1.0);
  if (scaling == DampingScaling::diagonal) {
    for (std::size_t i = 0; i < F.rows; ++i) D[i] = F(i, i);
  }
  if (scaling != DampingScaling::tensor) return D;
  for (int s = 0; s < parameters.segments(); ++s) {
    const auto first = static_cast<std::size_t>(parameters.offset({s}));
    const auto count = static_cast<std::size_t>(parameters.tensor({s}).size());
    double mean = 0;
    for (std::size_t i = 0; i < count; ++i) mean += F(first + i, first + i);
    for (std::size_t i = 0; i < count; ++i) D[first + i] = mean / static_cast<double>(count);
  }
  return D;
}

/// (F + diag(shift))^-1 g.
inline Numbers solve_shifted(Table F, const Numbers& shift, const Numbers& g) {
  for (std::size_t i = 0; i < F.rows; ++i) F(i, i) += shift[i];
  return solve(F, 0, g);
}

inline Numbers times(double a, Numbers x) {
  for (double& value : x) value *= a;
  return x;
}

}  // namespace natgrad::tests
