#pragma once

#include "kernels/formulas/densities/density.hpp"
#include "natgrad/types.hpp"

#include <cmath>
#include <cstdint>

namespace natgrad::formulas {

/// x = m + L z of D numbers, z standard normal; theta = (m, log L_ii, L_ij of i > j row by row).
/// `prepared`: L and its inverse A, both (D, D) with their upper triangles 0.
///
/// With z = A (x - m) and u = A^T z, log p has the derivatives u in m and u_i z_j - [i = j] / L_ii
/// in L. In the coordinates a = A dm and M = A dL, KL is 1/2 |a|^2 + sum_i M_ii^2 + 1/2 sum_(i>j)
/// M_ij^2 to second order, which gives the rows of F: those of a, and of M times sqrt(2) where i =
/// j.
struct GaussianCholeskyDensity {
  static constexpr DensityFamily family = DensityFamily::gaussian_cholesky;
  static constexpr bool closed = true;
  static constexpr bool quadrature = false;

  static DensityTensors tensors(const DensityShape& shape) {
    const std::int64_t d = shape.dimensions;
    return {{{"mean", d}, {"log_scales", d}, {"factor", d * (d - 1) / 2}}};
  }
  NATGRAD_FORMULA static std::int64_t parameters(const DensityShape& shape) {
    return shape.dimensions + shape.dimensions * (shape.dimensions + 1) / 2;
  }
  NATGRAD_FORMULA static std::int64_t prepared(const DensityShape& shape) {
    return 2 * shape.dimensions * shape.dimensions;
  }
  NATGRAD_FORMULA static std::int64_t constants(const DensityShape&) { return 0; }
  NATGRAD_FORMULA static std::int64_t uniforms(const DensityShape& shape) {
    return 2 * shape.dimensions;
  }

  NATGRAD_FORMULA static void prepare(const DensityShape& shape, const double*, const double* theta,
                                      double* prepared) {
    const std::int64_t d = shape.dimensions;
    double* L = prepared;
    double* A = prepared + d * d;
    for (std::int64_t i = 0; i < d; ++i) {
      for (std::int64_t j = 0; j < d; ++j) {
        L[i * d + j] = j < i ? theta[below(d, i, j)] : 0;
        A[i * d + j] = 0;
      }
      L[i * d + i] = std::exp(theta[d + i]);
    }
    // Column j of A by forward substitution.
    for (std::int64_t j = 0; j < d; ++j) {
      for (std::int64_t i = j; i < d; ++i) {
        double sum = i == j ? 1 : 0;
        for (std::int64_t k = j; k < i; ++k) sum -= L[i * d + k] * A[k * d + j];
        A[i * d + j] = sum / L[i * d + i];
      }
    }
  }

  template <class T>
  NATGRAD_FORMULA static double log_p(const DensityAt& at, const T* x) {
    const std::int64_t d = at.shape.dimensions;
    double sum = 0;
    for (std::int64_t i = 0; i < d; ++i) {
      const double z = whitened(at, x, i);
      sum -= (z * z + log_two_pi) / 2 + at.theta[d + i];
    }
    return sum;
  }

  /// z stands in the place of the log scales' scores until these are made of it.
  template <class T>
  NATGRAD_FORMULA static void score(const DensityAt& at, const T* x, T* score) {
    const std::int64_t d = at.shape.dimensions;
    const double* A = at.prepared + d * d;
    T* z = score + d;
    for (std::int64_t i = 0; i < d; ++i) z[i] = static_cast<T>(whitened(at, x, i));
    for (std::int64_t j = 0; j < d; ++j) {
      double sum = 0;
      for (std::int64_t i = j; i < d; ++i) sum += A[i * d + j] * static_cast<double>(z[i]);
      score[j] = static_cast<T>(sum);
    }
    for (std::int64_t i = 1; i < d; ++i) {
      for (std::int64_t j = 0; j < i; ++j) score[below(d, i, j)] = score[i] * z[j];
    }
    for (std::int64_t i = 0; i < d; ++i) {
      const auto scale = static_cast<T>(at.prepared[i * d + i]);
      z[i] = score[i] * z[i] * scale - 1;
    }
  }

  /// From the last number to the first: x_i needs no z_j of j > i, and stands where z_i stood.
  template <class T>
  NATGRAD_FORMULA static void sample(const DensityAt& at, const DensityDraws& draws, T* x) {
    const std::int64_t d = at.shape.dimensions;
    for (std::int64_t i = 0; i < d; ++i) x[i] = static_cast<T>(draws.normal(2 * i));
    for (std::int64_t i = d; i-- > 0;) {
      double sum = at.theta[i];
      for (std::int64_t j = 0; j <= i; ++j) {
        sum += at.prepared[i * d + j] * static_cast<double>(x[j]);
      }
      x[i] = static_cast<T>(sum);
    }
  }

  NATGRAD_FORMULA static void fisher(const DensityAt& at, double* rows) {
    const std::int64_t d = at.shape.dimensions;
    const std::int64_t parameters = GaussianCholeskyDensity::parameters(at.shape);
    const double* L = at.prepared;
    const double* A = at.prepared + d * d;
    for (std::int64_t i = 0; i < parameters * parameters; ++i) rows[i] = 0;
    double* row = rows;
    for (std::int64_t k = 0; k < d; ++k, row += parameters) {
      for (std::int64_t j = 0; j <= k; ++j) row[j] = A[k * d + j];
    }
    for (std::int64_t k = 0; k < d; ++k) {
      for (std::int64_t l = 0; l <= k; ++l, row += parameters) {
        const double factor = k == l ? sqrt_two : 1;
        row[d + l] = factor * A[k * d + l] * L[l * d + l];
        for (std::int64_t i = l + 1; i <= k; ++i) row[below(d, i, l)] = factor * A[k * d + i];
      }
    }
  }

  /// With M = A' L: (|M|^2 - D + |A' (m - m')|^2) / 2 - sum_i log M_ii. The terms of the diagonal
  /// are taken together, for they cancel where the two are near.
  NATGRAD_FORMULA static double kl(const DensityAt& at, const DensityAt& other) {
    const std::int64_t d = at.shape.dimensions;
    const double* A = other.prepared + d * d;
    double sum = 0;
    for (std::int64_t i = 0; i < d; ++i) {
      const double growth = std::expm1(2 * (at.theta[d + i] - other.theta[d + i]));
      sum += growth - std::log1p(growth);
      double shift = 0;
      for (std::int64_t j = 0; j <= i; ++j) {
        shift += A[i * d + j] * (at.theta[j] - other.theta[j]);
        if (j == i) continue;
        double m = 0;
        for (std::int64_t k = j; k <= i; ++k) m += A[i * d + k] * at.prepared[k * d + j];
        sum += m * m;
      }
      sum += shift * shift;
    }
    return sum / 2;
  }

 private:
  /// The place of L_ij, i > j, among the parameters.
  NATGRAD_FORMULA static std::int64_t below(std::int64_t d, std::int64_t i, std::int64_t j) {
    return 2 * d + i * (i - 1) / 2 + j;
  }
  /// z_i = sum_j A_ij (x_j - m_j), NaN where one of these x_j is not finite.
  template <class T>
  NATGRAD_FORMULA static double whitened(const DensityAt& at, const T* x, std::int64_t i) {
    const std::int64_t d = at.shape.dimensions;
    const double* A = at.prepared + d * d;
    double sum = 0;
    for (std::int64_t j = 0; j <= i; ++j) {
      const auto value = static_cast<double>(x[j]);
      sum += A[i * d + j] * (value - at.theta[j]) + zero_if_finite(value);
    }
    return sum;
  }
};

}  // namespace natgrad::formulas
