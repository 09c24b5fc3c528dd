#pragma once

#include "support/reference_likelihood.hpp"
#include "support/tolerance.hpp"

#include <cmath>
#include <cstddef>

namespace natgrad::tests {

/// Phi^-1(u + 2^-54), from the tail by Newton's method on its logarithm, which is concave.
inline naive::Real normal_quantile(double u) {
  using naive::Real;
  const Real at = Real{u} + 0x1p-54L;
  const Real tail = at < 0.5L ? at : 1 - at;
  const Real sqrt_two = std::sqrt(Real{2});
  Real x = std::sqrt(-2 * std::log(2 * tail));
  for (int i = 0; i < 60; ++i) {
    const Real beyond = std::erfc(x / sqrt_two) / 2;
    const Real density = std::exp(-x * x / 2) / std::sqrt(8 * std::atan(Real{1}));
    const Real step = (std::log(beyond) - std::log(tail)) * beyond / density;
    x += step;
    if (std::abs(step) < 1e-18L * (1 + x)) break;
  }
  return at < 0.5L ? -x : x;
}

/// A likelihood of independent targets, each with outputs of its own: output i of target k is
/// z[i K + k].
class ReferenceIndependent : public ReferenceLikelihood {
 public:
  // Of one target.
  virtual std::size_t outputs() const { return 1; }
  virtual bool variance_vanishes() const { return true; }
  virtual bool in_support(Real y) const = 0;
  virtual Real log_p_of(const Vector& z, Real y) const = 0;
  virtual Vector score_of(const Vector& z, Real y) const = 0;
  virtual Real figure_of(const Vector& z, Real y) const = 0;
  virtual Real sample_of(const Vector& z, double uniform) const = 0;
  /// The diagonal of F.
  virtual Vector information_of(const Vector& z) const = 0;
  virtual Real kl_of(const Vector& z, const Vector& now) const = 0;
  /// The largest |log p|, KL divergence and |target| of the common cases.
  virtual double largest_log_p_of(const Outputs& outputs) const = 0;
  virtual double largest_kl_of(const Outputs& outputs) const = 0;

  Real log_p(const Vector& z, const Vector& y) const final {
    Real sum = 0;
    for (std::size_t k = 0; k < y.size(); ++k) {
      sum += in_support(y[k]) ? log_p_of(own(z, k), y[k]) : naive::not_a_number;
    }
    return sum;
  }
  Vector score(const Vector& z, const Vector& y) const final {
    Vector score(z.size());
    for (std::size_t k = 0; k < y.size(); ++k) {
      const bool defined = in_support(y[k]) && finite(own(z, k));
      const Vector of_target = score_of(own(z, k), y[k]);
      for (std::size_t i = 0; i < outputs(); ++i) {
        score[i * y.size() + k] = defined ? of_target[i] : naive::not_a_number;
      }
    }
    return score;
  }
  Real figure(const Vector& z, const Vector& y) const final {
    Real sum = 0;
    for (std::size_t k = 0; k < y.size(); ++k) sum += figure_of(own(z, k), y[k]);
    return sum / static_cast<Real>(y.size());
  }
  Vector sample(const Vector& z, const Uniform& uniform) const final {
    Vector y(z.size() / outputs());
    for (std::size_t k = 0; k < y.size(); ++k) {
      const double u = uniform(static_cast<std::int64_t>(k));
      y[k] = finite(own(z, k)) ? sample_of(own(z, k), u) : naive::not_a_number;
    }
    return y;
  }
  Exact exact(const Vector& z, const Vector& y, Real eps) const final {
    Exact exact{std::vector<Vector>(z.size(), Vector(z.size(), 0)), score(z, y)};
    for (std::size_t k = 0; k < y.size(); ++k) {
      const Vector F = information_of(own(z, k));
      for (std::size_t i = 0; i < outputs(); ++i) {
        const std::size_t c = i * y.size() + k;
        const Real root = bounded_root_of_target(F[i], exact.r[c], variance_vanishes() ? eps : 0);
        exact.rows[c][c] = root;
        exact.r[c] = root == 0 ? 0 * exact.r[c] : exact.r[c] / root;
      }
    }
    return exact;
  }
  Real kl(const Vector& z, const Vector& now) const final {
    Real sum = 0;
    for (std::size_t k = 0; k < z.size() / outputs(); ++k) sum += kl_of(own(z, k), own(now, k));
    return sum;
  }

  double largest_log_p(const Outputs& outputs) const final {
    return static_cast<double>(outputs.count) * largest_log_p_of(outputs);
  }
  /// Ten roundings in each target's, and those of the sum.
  double log_p_bound(const Outputs& outputs) const final {
    return sum_bound(outputs.count + 20, ElementType::float64, largest_log_p(outputs));
  }
  double kl_bound(const Outputs& outputs) const final {
    return sum_bound(outputs.count + 40, ElementType::float64,
                     static_cast<double>(outputs.count) * largest_kl_of(outputs));
  }

 protected:
  static constexpr double infinity = std::numeric_limits<double>::infinity();
  static constexpr double nan = std::numeric_limits<double>::quiet_NaN();

  /// Rows of 5 targets: these outside the support, then good ones, and so on.
  static std::vector<double> every_other_row(const std::vector<double>& outside,
                                             const std::vector<double>& inside) {
    std::vector<double> rows;
    for (int row = 0; row < 4; ++row) {
      const std::vector<double>& from = row % 2 == 0 ? outside : inside;
      for (std::size_t i = 0; i < 5; ++i) rows.push_back(from[(i + row) % from.size()]);
    }
    return rows;
  }
  /// Targets that go round these.
  static std::vector<double> cycle(const std::vector<double>& values, std::int64_t count) {
    std::vector<double> y;
    for (std::int64_t i = 0; i < count; ++i) {
      y.push_back(values[static_cast<std::size_t>(i) % values.size()]);
    }
    return y;
  }

 private:
  Vector own(const Vector& z, std::size_t k) const {
    const std::size_t count = z.size() / outputs();
    Vector of_target;
    for (std::size_t i = 0; i < outputs(); ++i) of_target.push_back(z[i * count + k]);
    return of_target;
  }
  static bool finite(const Vector& z) {
    for (Real output : z) {
      if (!std::isfinite(output)) return false;
    }
    return true;
  }
};

}  // namespace natgrad::tests
