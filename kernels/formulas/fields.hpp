#pragma once

#include "kernels/formulas/activations.hpp"
#include "kernels/formulas/formula.hpp"
#include "kernels/formulas/random.hpp"
#include "natgrad/types.hpp"

#include <cmath>
#include <cstdint>

// Scalar fields u(x) of d coordinates: a tanh unit's value, derivatives and Laplacian, forward and
// back; exact solutions of Poisson's equation; points of the unit cube.

namespace natgrad::formulas {

/// A unit a = tanh(z) of one point, by a: its slope a', curvature a'' and third derivative with
/// respect to z. With the derivatives z_i and the Laplacian z_L of z along the coordinates,
///
///     a_i = a' z_i,   a_L = a' z_L + a'' sum_i z_i^2.
template <class T>
struct TanhUnit {
  T a;

  NATGRAD_FORMULA T slope() const { return tanh_derivative_from_output(a); }
  NATGRAD_FORMULA T curvature() const { return T(-2) * a * slope(); }
  NATGRAD_FORMULA T third() const { return slope() * (T(6) * a * a - T(2)); }

  /// a_L; `squares` = sum_i z_i^2.
  NATGRAD_FORMULA T laplacian(T z_laplacian, T squares) const {
    return slope() * z_laplacian + curvature() * squares;
  }
  /// From scores with respect to a, a_i and a_L to those with respect to z, z_i and z_L: of the
  /// value with `products` = sum_i z_i D_i + z_L D_L.
  NATGRAD_FORMULA T value_score(T score, T products, T squares, T laplacian_score) const {
    return slope() * score + curvature() * products + third() * squares * laplacian_score;
  }
  NATGRAD_FORMULA T derivative_score(T z_derivative, T score, T laplacian_score) const {
    return slope() * score + T(2) * curvature() * z_derivative * laplacian_score;
  }
};

inline constexpr double half_turn = 3.14159265358979323846;

struct SineProduct {
  template <class T>
  NATGRAD_FORMULA static double value(const T* x, std::int64_t d) {
    double product = 1;
    for (std::int64_t i = 0; i < d; ++i) product *= sin(half_turn * static_cast<double>(x[i]));
    return product;
  }
  template <class T>
  NATGRAD_FORMULA static double laplacian(const T* x, std::int64_t d) {
    return -static_cast<double>(d) * half_turn * half_turn * value(x, d);
  }
};

struct CosineSum {
  template <class T>
  NATGRAD_FORMULA static double value(const T* x, std::int64_t d) {
    double sum = 0;
    for (std::int64_t i = 0; i < d; ++i) sum += cos(half_turn * static_cast<double>(x[i]));
    return sum;
  }
  template <class T>
  NATGRAD_FORMULA static double laplacian(const T* x, std::int64_t d) {
    return -half_turn * half_turn * value(x, d);
  }
};

struct SquaredNorm {
  template <class T>
  NATGRAD_FORMULA static double value(const T* x, std::int64_t d) {
    double sum = 0;
    for (std::int64_t i = 0; i < d; ++i)
      sum += static_cast<double>(x[i]) * static_cast<double>(x[i]);
    return sum;
  }
  template <class T>
  NATGRAD_FORMULA static double laplacian(const T*, std::int64_t d) {
    return 2 * static_cast<double>(d);
  }
};

/// Calls body with the type that `solution` names.
template <class Body>
void with_solution(PoissonSolution solution, const Body& body) {
  switch (solution) {
    case PoissonSolution::sin:
      return body(SineProduct{});
    case PoissonSolution::cos:
      return body(CosineSum{});
    case PoissonSolution::square:
      return body(SquaredNorm{});
  }
}

/// Coordinate j of point n of a drawing: uniform in the unit cube, or on its faces, each as likely.
struct DrawnPoint {
  std::uint64_t key;
  std::uint64_t drawing;  // modulo 2^32
  bool on_faces;

  NATGRAD_FORMULA double coordinate(std::int64_t n, std::int64_t j, std::int64_t d) const {
    const RandomStream stream = on_faces ? RandomStream::faces : RandomStream::points;
    const auto part = static_cast<std::uint32_t>(drawing);
    const auto first = static_cast<std::uint64_t>(n) * static_cast<std::uint64_t>(d + 1);
    if (on_faces) {
      const std::uint64_t face =
          uniform_below(random_bits(key, stream, part, first + static_cast<std::uint64_t>(d)),
                        2 * static_cast<std::uint64_t>(d));
      if (face / 2 == static_cast<std::uint64_t>(j)) return static_cast<double>(face % 2);
    }
    return uniform(random_bits(key, stream, part, first + static_cast<std::uint64_t>(j)));
  }
};

}  // namespace natgrad::formulas
