#include "kernels/formulas/fields.hpp"
#include "support/reference_backend.hpp"
#include "support/reference_elements.hpp"

#include <cmath>

// Fields: tanh's derivatives by the chain rule in long double, as they are written on paper.

namespace natgrad::tests {

using namespace naive;  // NOLINT(google-build-using-namespace)

namespace {

/// Derivatives of tanh at z, first to third.
struct TanhDerivatives {
  Real first, second, third;
  explicit TanhDerivatives(Real a)
      : first(1 - a * a), second(-2 * a * first), third(-2 * first * first - 2 * a * second) {}
};

Real solution(PoissonSolution which, const ConstView& x, std::int64_t n) {
  const Real pi = 4 * std::atan(Real{1});
  Real product = 1;
  Real cosines = 0;
  Real squares = 0;
  for (std::int64_t j = 0; j < x.columns(); ++j) {
    const Real coordinate = load(x, n, j);
    product *= std::sin(pi * coordinate);
    cosines += std::cos(pi * coordinate);
    squares += coordinate * coordinate;
  }
  if (which == PoissonSolution::sin) return product;
  return which == PoissonSolution::cos ? cosines : squares;
}

}  // namespace

void ReferenceBackend::tanh_terms(std::int64_t terms, const ConstView& bias, const View& z,
                                  const View& a) {
  for (std::int64_t n = 0; n < z.rows(); n += terms) {
    for (std::int64_t j = 0; j < z.columns(); ++j) {
      const Real sum = rounded(load(z, n, j) + load(bias, j), z);
      const Real value = std::tanh(sum);
      const TanhDerivatives f(value);
      Real squares = 0;
      store(sum, z, n, j);
      store(value, a, n, j);
      for (std::int64_t t = 1; t + 1 < terms; ++t) {
        const Real derivative = load(z, n + t, j);
        squares += derivative * derivative;
        store(f.first * derivative, a, n + t, j);
      }
      if (terms == 1) continue;
      const std::int64_t last = n + terms - 1;
      store(f.first * load(z, last, j) + f.second * squares, a, last, j);
    }
  }
}

void ReferenceBackend::tanh_terms_backward(std::int64_t terms, const ConstView& z,
                                           const ConstView& a, const View& delta) {
  for (std::int64_t n = 0; n < z.rows(); n += terms) {
    for (std::int64_t j = 0; j < z.columns(); ++j) {
      const TanhDerivatives f(load(a, n, j));
      Real score = f.first * load(delta, n, j);
      const std::int64_t last = n + terms - 1;
      const Real of_laplacian = terms == 1 ? 0 : load(delta, last, j);
      for (std::int64_t t = 1; t + 1 < terms; ++t) {
        const Real derivative = load(z, n + t, j);
        const Real own = load(delta, n + t, j);
        score += f.second * derivative * own + f.third * derivative * derivative * of_laplacian;
        store(f.first * own + 2 * f.second * derivative * of_laplacian, delta, n + t, j);
      }
      if (terms > 1) {
        score += f.second * load(z, last, j) * of_laplacian;
        store(f.first * of_laplacian, delta, last, j);
      }
      store(score, delta, n, j);
    }
  }
}

void ReferenceBackend::draw_points(std::uint64_t key, const ConstView& counter, bool on_faces,
                                   const View& x) {
  using formulas::RandomStream;
  const auto part = static_cast<std::uint32_t>(load(counter, 0));
  const RandomStream stream = on_faces ? RandomStream::faces : RandomStream::points;
  const auto d = static_cast<std::uint64_t>(x.columns());
  for (std::int64_t n = 0; n < x.rows(); ++n) {
    const std::uint64_t first = static_cast<std::uint64_t>(n) * (d + 1);
    for (std::int64_t j = 0; j < x.columns(); ++j) {
      const auto place = first + static_cast<std::uint64_t>(j);
      store(formulas::uniform(formulas::random_bits(key, stream, part, place)), x, n, j);
    }
    if (!on_faces) continue;
    const auto face = static_cast<std::int64_t>(
        formulas::uniform_below(formulas::random_bits(key, stream, part, first + d), 2 * d));
    store(static_cast<Real>(face % 2), x, n, face / 2);
  }
}

void ReferenceBackend::solution_at(PoissonSolution which, bool laplacian, const ConstView& x,
                                   const View& value) {
  const Real pi = 4 * std::atan(Real{1});
  const auto d = static_cast<Real>(x.columns());
  for (std::int64_t n = 0; n < x.rows(); ++n) {
    const Real u = solution(which, x, n);
    const Real of_u = which == PoissonSolution::sin   ? -d * pi * pi * u
                      : which == PoissonSolution::cos ? -pi * pi * u
                                                      : 2 * d;
    store(laplacian ? of_u : u, value, n);
  }
}

}  // namespace natgrad::tests
