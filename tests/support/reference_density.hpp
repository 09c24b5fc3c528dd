#pragma once

#include "kernels/formulas/densities/density.hpp"
#include "natgrad/types.hpp"
#include "support/reference_elements.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

namespace natgrad::tests {

/// What the tests know of one density p(x | theta): its definition in long double, which the
/// reference backend computes with, scores by differences of it; values by hand, which prove that
/// definition and every backend; and operands for the cases that all densities have in common
/// (tests/backend/operations_densities.cpp). One file in tests/backend/densities each.
class ReferenceDensity {
 public:
  using Real = naive::Real;
  using Vector = naive::Vector;
  using Uniform = std::function<double(std::int64_t number)>;

  struct Value {
    std::vector<double> theta, x, score;
    double log_p;
  };

  virtual ~ReferenceDensity() = default;

  /// `constants`: of an exponential family, else empty.
  virtual Real log_p(const DensityShape& shape, const Vector& constants, const Vector& theta,
                     const Vector& x) const = 0;
  virtual Vector sample(const DensityShape& shape, const Vector& constants, const Vector& theta,
                        const Uniform& uniform) const = 0;

  /// By hand, all of the first of `shapes`.
  virtual std::vector<Value> values() const = 0;
  /// F by hand, (P, P), at the theta of the first value; empty: the theory tests know it.
  virtual std::vector<double> fisher() const { return {}; }
  virtual std::vector<DensityShape> shapes() const = 0;
  virtual std::vector<double> constants(const DensityShape&) const { return {}; }
  virtual std::vector<double> theta(const DensityShape& shape) const = 0;
  /// theta outside of its domain; empty: there is none.
  virtual std::vector<double> outside() const { return {}; }

  /// The derivative of log p by theta from four differences, which errs by 1e-12 at most.
  Vector score(const DensityShape& shape, const Vector& constants, const Vector& theta,
               const Vector& x) const;

  /// Makes a reference known; a static object of each file.
  struct Registration {
    Registration(DensityFamily family, std::unique_ptr<const ReferenceDensity> reference);
  };
};

/// Standard normal, from the numbers i and i + 1 (Box, Muller).
naive::Real normal_from(const ReferenceDensity::Uniform& uniform, std::int64_t i);

/// log N(x; mean, scale^2), NaN unless scale > 0.
naive::Real log_normal(naive::Real x, naive::Real mean, naive::Real scale);

/// Throws where the family has no reference.
const ReferenceDensity& reference_density(DensityFamily family);

}  // namespace natgrad::tests
