#pragma once

#include "kernels/formulas/likelihoods/table.hpp"
#include "support/reference_elements.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

namespace natgrad::tests {

/// What the tests know of one likelihood p(y | z) of a row of C outputs z at K targets y: its
/// definition in long double, which the reference backend computes with; values by hand, which
/// prove that definition and every backend; and operands for the cases that all likelihoods have in
/// common (tests/backend/operations_models.cpp). One file in tests/backend/likelihoods each.
class ReferenceLikelihood {
 public:
  using Real = naive::Real;
  using Vector = naive::Vector;
  using Uniform = std::function<double(std::int64_t target)>;

  /// Of a case: how many outputs, of which type, up to which magnitude.
  struct Outputs {
    std::int64_t count;
    ElementType type;
    double largest;
  };

  struct Value {
    std::vector<double> z, y, score;
    double log_p, figure;
    std::vector<double> fisher;  // F of the outputs, C x C
  };

  struct Divergence {
    std::vector<double> z, now;
    double kl;
  };

  /// A root of the Fisher matrix of the outputs and its coefficients.
  struct Exact {
    std::vector<Vector> rows;
    Vector r;
  };

  struct Draw {
    std::vector<double> z;
    double uniform;
    std::vector<double> y;
  };

  virtual ~ReferenceLikelihood() = default;

  static Real bounded_root(Real variance, Real score, Real eps) {
    const Real least = eps * std::min(std::abs(score), Real{1});
    return std::sqrt(std::isnan(score) ? variance : std::max(variance, least));
  }
  /// 0 where the target is certain and the output says so.
  static Real bounded_root_of_target(Real variance, Real score, Real eps) {
    const bool agrees = std::isnan(score) || std::abs(score) < eps;
    return variance < eps && agrees ? 0 : bounded_root(variance, score, eps);
  }

  /// The fixed number of the distribution that this is the definition of.
  virtual double sigma() const { return 1; }

  // The definition. A target outside the support gives NaN.
  virtual Real log_p(const Vector& z, const Vector& y) const = 0;
  virtual Vector score(const Vector& z, const Vector& y) const = 0;
  virtual Real figure(const Vector& z, const Vector& y) const = 0;
  /// The K targets of one draw.
  virtual Vector sample(const Vector& z, const Uniform& uniform) const = 0;

  /// With variances that may vanish no less than `eps` times the output's |score|, or `eps`.
  virtual Exact exact(const Vector& z, const Vector& y, Real eps) const = 0;
  virtual Real kl(const Vector& z, const Vector& now) const = 0;

  // By hand; every Value has the same C.
  virtual std::vector<Value> values() const = 0;
  virtual std::vector<Divergence> divergences() const = 0;
  virtual std::vector<Draw> draws() const = 0;

  // Operands of the common cases.
  /// Targets in the support for so many rows, row by row.
  virtual std::vector<double> targets(std::int64_t rows, std::int64_t outputs) const = 0;
  /// Rows of targets for 5 outputs, or 5 targets, all of which are outside the support in every
  /// other row, from the first on.
  virtual std::vector<double> targets_every_other_outside() const = 0;

  /// The largest outputs that leave all numbers finite.
  virtual double largest_output() const { return 1e4; }
  /// The largest |log p| and figure of a row.
  virtual double largest_log_p(const Outputs& outputs) const = 0;
  virtual double largest_figure(const Outputs&) const { return 1; }

  // What a backend may err by: in each number of a score, in each row's log p and KL divergence
  // (double arithmetic whatever the type), in a drawn target, in each number of an exact Fisher row
  // and in its coefficient.
  virtual double score_bound(const Outputs& outputs) const = 0;
  virtual double log_p_bound(const Outputs& outputs) const = 0;
  virtual double kl_bound(const Outputs& outputs) const = 0;
  virtual double sample_bound(const Outputs& outputs) const = 0;
  virtual double row_bound(const Outputs& outputs) const = 0;
  virtual double coefficient_bound(const Outputs& outputs) const = 0;

  /// Makes a reference known; a static object of each file.
  struct Registration {
    Registration(Likelihood likelihood, std::unique_ptr<const ReferenceLikelihood> reference);
  };
};

/// Throws where the table's likelihood has no reference.
const ReferenceLikelihood& reference_likelihood(Likelihood likelihood);

}  // namespace natgrad::tests
