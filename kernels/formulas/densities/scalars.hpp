#pragma once

#include "kernels/formulas/densities/table.hpp"

#include <cmath>
#include <cstdint>

// The work on a density that is not one of many samples: run by one thread, for P is small.

namespace natgrad::formulas {

/// What all samples have in common.
struct PrepareDensity {
  DensityFamily family{};
  DensityShape shape;
  const double* constants = nullptr;
  const double* theta = nullptr;
  double* prepared = nullptr;

  NATGRAD_FORMULA void operator()() const {
    Densities::visit(family,
                     [&](auto f) { decltype(f)::prepare(shape, constants, theta, prepared); });
  }
};

/// Points and weights of the quadrature of a family that has one.
struct PlaceDensityNodes {
  DensityFamily family{};
  DensityAt at;
  double* x = nullptr;        // (nodes, D)
  double* weights = nullptr;  // (nodes)

  NATGRAD_FORMULA void operator()() const {
    Densities::visit(family, [&](auto f) {
      if constexpr (decltype(f)::quadrature) decltype(f)::place_nodes(at, x, weights);
    });
  }
};

/// The rows of the exact Fisher matrix of a family that has a closed form.
struct DensityFisher {
  DensityFamily family{};
  DensityAt at;
  double* rows = nullptr;  // (P, P)

  NATGRAD_FORMULA void operator()() const {
    Densities::visit(family, [&](auto f) {
      if constexpr (decltype(f)::closed) decltype(f)::fisher(at, rows);
    });
  }
};

/// KL(p_at || p_other) of a family that has a closed form.
struct DensityDivergence {
  DensityFamily family{};
  DensityAt at;
  DensityAt other;
  double* result = nullptr;

  NATGRAD_FORMULA void operator()() const {
    Densities::visit(family, [&](auto f) {
      if constexpr (decltype(f)::closed) *result = decltype(f)::kl(at, other);
    });
  }
};

/// KL by quadrature: the sum of w p (log p - log p'). Points of weight 0 or without density count
/// nothing.
struct SumDivergence {
  const double* weights;
  const double* log_p;
  const double* log_other;
  std::int64_t nodes;
  double* result;

  NATGRAD_FORMULA void operator()() const {
    double sum = 0;
    for (std::int64_t q = 0; q < nodes; ++q) {
      const double mass = weights[q] * std::exp(log_p[q]);
      if (!(mass == 0)) sum += mass * (log_p[q] - log_other[q]);
    }
    *result = sum;
  }
};

/// R with R^T R = F, upper triangular, from the upper triangle of a positive semidefinite F (P, P):
/// its Cholesky factorization, with a row of zeros where what is left of the diagonal is at the
/// level of rounding, because that parameter adds nothing to those before it. Row by row, so that
/// rows may be F.
struct FactorSemidefinite {
  std::int64_t size;
  const double* F;
  double* rows;

  /// A pivot that is a smaller share than this of its diagonal element is rounding.
  static constexpr double level_of_rounding = 1e-13;

  NATGRAD_FORMULA void operator()() const {
    const std::int64_t P = size;
    for (std::int64_t i = 0; i < P; ++i) {
      const double diagonal = F[i * P + i];
      double pivot = diagonal;
      for (std::int64_t k = 0; k < i; ++k) pivot -= rows[k * P + i] * rows[k * P + i];
      // A NaN is no rounding.
      const bool rounding = pivot <= level_of_rounding * diagonal;
      const double root = rounding ? 0 : std::sqrt(pivot);
      for (std::int64_t j = 0; j < i; ++j) rows[i * P + j] = 0;
      for (std::int64_t j = i + 1; j < P; ++j) {
        double sum = F[i * P + j];
        for (std::int64_t k = 0; k < i; ++k) sum -= rows[k * P + i] * rows[k * P + j];
        rows[i * P + j] = rounding ? 0 : sum / root;
      }
      rows[i * P + i] = rounding ? 0 : root;
    }
  }
};

}  // namespace natgrad::formulas
