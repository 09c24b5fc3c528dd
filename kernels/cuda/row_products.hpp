#pragma once

#include "kernels/cuda/rows.hpp"

#include <cstdint>

// What products with rows of S, z = S v and g = S^T y, need beside cuBLAS, enqueued on a stream.

namespace natgrad::kernels {

/// Operands and result of z = S v beside the factors.
template <class Result>
struct ApplyOperands {
  Matrix<const Result> inputs;  // A V^T (rows / R T, d_out), or null
  const Result* bias;           // v_b (d_out), or null
  const double* scale;          // of the rows, where this use is the last that adds; or null
  bool adds;
  Result* z;  // (rows)
};
/// z_n = scale_n (z_n + sum_t (A_nt V^T + v_b) . D_nt), and 0 where scale_n is 0.
template <class Row, class Result>
void add_products(Stream stream, const KhatriRaoFactors<Row>& factors,
                  const ApplyOperands<Result>& products);
/// z_n = scale_n z_n, and 0 where scale_n is 0.
template <class Result>
void scale_vector(Stream stream, const double* scale, std::int64_t size, Result* z);

/// u_n = scale_n y_n.
template <class Result>
struct ScaledVector {
  const double* scale;
  const Result* y;
  /// u_n d; 0 where scale_n is 0, whatever d is.
  NATGRAD_DEVICE static Result product(double scale_n, Result y_n, Result d) {
    if (scale_n == 0) return 0;
    return static_cast<Result>(scale_n * static_cast<double>(y_n)) * d;
  }
};
/// What S^T y takes from the outputs of some rows, beside the product with their inputs.
template <class Result>
struct WeighedOutputs {
  Result* weighed = nullptr;   // E (rows / R T, d_out), or null
  Result* bias = nullptr;      // g_b (d_out), or null
  Result beta = 0;             // of g_b; 0 ignores what it held
  Result* partials = nullptr;  // `bias_partials` numbers of scratch
};
/// Writes E, the sum of u_n D_nt over the rows n of each input, and g_b = sum_nt u_n D_nt + beta
/// g_b over the terms that carry the bias. The first row is its input's first. D is read once; of
/// few outputs, several blocks sum the bias, and a second launch adds their sums in order.
template <class Row, class Result>
void weigh_outputs(Stream stream, const KhatriRaoFactors<Row>& factors,
                   const ScaledVector<Result>& u, const WeighedOutputs<Result>& to);
/// Copies rows of A from `first` on, counted from the first row's input, for a sum over the rows
/// that they belong to: zeros where these rows all have scale 0. The first row is its input's
/// first, and the last one its input's last.
template <class Row, class Result>
void copy_inputs(Stream stream, const KhatriRaoFactors<Row>& factors, std::int64_t first,
                 const double* scale, const Matrix<Result>& to);
/// Scratch of the sum over so many rows of D: no less than that of fewer.
std::int64_t bias_partials(std::int64_t rows, std::int64_t outputs);

}  // namespace natgrad::kernels
