#pragma once

#include "support/plain.hpp"

#include <complex>
#include <cstddef>
#include <string>
#include <vector>

// What the plain models of the tests are made of: nothing of the library.

namespace natgrad::tests {

struct TensorShape {
  std::size_t rows = 1;
  std::size_t columns = 1;
  std::size_t size() const { return rows * columns; }
};

/// Where each tensor begins among all numbers, and their number at the end.
inline std::vector<std::size_t> offsets_of(const std::vector<TensorShape>& tensors) {
  std::vector<std::size_t> offsets = {0};
  for (const TensorShape& tensor : tensors) offsets.push_back(offsets.back() + tensor.size());
  return offsets;
}

/// One use of a weight in some rows, as a model's own backward pass gives it: row n and term t have
/// input row (n / rows_per_input) T + t and output score n T + t.
struct NumericLayer {
  int weight = -1;  // number of the tensor; -1: none
  int bias = -1;
  Table input = {};         // (rows / rows_per_input T, d_in)
  Table output_score = {};  // (rows T, d_out)
  std::size_t terms = 1;
  bool bias_first_term = false;
  std::size_t first = 0;  // row of the set
  std::size_t rows_per_input = 1;
  std::size_t rows() const { return output_score.rows / terms; }
};

/// Term t of every row as a use of its own; the bias goes with the terms that have one.
inline NumericLayer term_of(const NumericLayer& use, std::size_t t) {
  NumericLayer term = use;
  term.terms = 1;
  term.bias_first_term = false;
  if (use.bias_first_term && t > 0) term.bias = -1;
  const auto every = [&](const Table& factor) {
    Table part(factor.rows / use.terms, factor.columns);
    for (std::size_t n = 0; n < part.rows; ++n) {
      for (std::size_t j = 0; j < part.columns; ++j) part(n, j) = factor(n * use.terms + t, j);
    }
    return part;
  };
  term.input = every(use.input);
  term.output_score = every(use.output_score);
  return term;
}

inline std::vector<NumericLayer> single_terms(const std::vector<NumericLayer>& uses) {
  std::vector<NumericLayer> terms;
  for (const NumericLayer& use : uses) {
    for (std::size_t t = 0; t < use.terms; ++t) {
      NumericLayer term = term_of(use, t);
      if (term.weight >= 0 || term.bias >= 0) terms.push_back(std::move(term));
    }
  }
  return terms;
}

/// The rows (N, P) that such uses make, each a sum of outer products.
inline Table rows_of(const std::vector<NumericLayer>& uses, const std::vector<TensorShape>& tensors,
                     std::size_t samples) {
  const std::vector<std::size_t> offsets = offsets_of(tensors);
  Table rows(samples, offsets.back());
  for (const NumericLayer& use : uses) {
    for (std::size_t i = 0; i < use.output_score.rows; ++i) {
      const std::size_t own = i / use.terms;
      const std::size_t t = i % use.terms;
      const std::size_t in = own / use.rows_per_input * use.terms + t;
      for (std::size_t o = 0; o < use.output_score.columns; ++o) {
        const double score = use.output_score(i, o);
        if (use.bias >= 0 && (t == 0 || !use.bias_first_term)) {
          rows(use.first + own, offsets[static_cast<std::size_t>(use.bias)] + o) += score;
        }
        if (use.weight < 0) continue;
        const std::size_t begin =
            offsets[static_cast<std::size_t>(use.weight)] + o * use.input.columns;
        for (std::size_t j = 0; j < use.input.columns; ++j) {
          rows(use.first + own, begin + j) += score * use.input(in, j);
        }
      }
    }
  }
  return rows;
}

/// z = W x + b for every d_in of the inputs x; W (d_out, d_in), b null for none.
template <class T>
std::vector<T> affine(const T* W, const T* b, TensorShape shape, const std::vector<T>& x) {
  std::vector<T> z(x.size() / shape.columns * shape.rows);
  for (std::size_t i = 0; i < z.size(); ++i) {
    const std::size_t o = i % shape.rows;
    if (b != nullptr) z[i] = b[o];
    for (std::size_t j = 0; j < shape.columns; ++j) {
      z[i] += W[o * shape.columns + j] * x[i / shape.rows * shape.columns + j];
    }
  }
  return z;
}

/// dx = W^T dz, the way back.
inline Numbers affine_back(const double* W, TensorShape shape, const Numbers& dz) {
  Numbers dx(dz.size() / shape.rows * shape.columns);
  for (std::size_t i = 0; i < dz.size(); ++i) {
    for (std::size_t j = 0; j < shape.columns; ++j) {
      dx[i / shape.rows * shape.columns + j] += W[i % shape.rows * shape.columns + j] * dz[i];
    }
  }
  return dx;
}

template <class T>
std::vector<T> tanh_of(std::vector<T> z) {
  for (T& element : z) element = std::tanh(element);
  return z;
}

/// dz = da (1 - a^2) for a = tanh(z).
inline Numbers tanh_back(const Numbers& a, Numbers da) {
  for (std::size_t i = 0; i < a.size(); ++i) da[i] *= 1 - a[i] * a[i];
  return da;
}

/// Puts numbers into a table's row-major elements from row `first` on.
inline void put(Table& table, std::size_t first, const Numbers& numbers) {
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    table.elements[first * table.columns + i] = numbers[i];
  }
}

/// d values_n / d theta_p by complex steps, Im f(theta + i h e_p) / h (Squire, Trapp 1998): nothing
/// is subtracted, and h^2 is below rounding, so that the rows are exact to the rounding of f.
template <class Model>
Table complex_step_rows(const Model& model, const Numbers& theta) {
  constexpr double h = 0x1p-100;
  std::vector<std::complex<double>> point(theta.begin(), theta.end());
  Table rows(model.samples(), theta.size());
  for (std::size_t p = 0; p < theta.size(); ++p) {
    point[p] = {theta[p], h};
    const std::vector<std::complex<double>> values = model.values(point);
    for (std::size_t n = 0; n < rows.rows; ++n) rows(n, p) = values[n].imag() / h;
    point[p] = theta[p];
  }
  return rows;
}

}  // namespace natgrad::tests
