#pragma once

#include "kernels/formulas/formula.hpp"
#include "kernels/formulas/likelihoods/draws.hpp"
#include "kernels/formulas/likelihoods/output_distribution.hpp"
#include "kernels/formulas/likelihoods/variances.hpp"

#include <cmath>
#include <cstdint>
#include <type_traits>

namespace natgrad::formulas {

/// A likelihood whose K targets are independent given the outputs, each with `Target::outputs`
/// outputs of its own: output i of target k is z[i K + k]. F_out is diagonal. `Target` has the
/// formulas of one target, z its outputs one after another:
///
///   constexpr int outputs
///   constexpr bool variance_vanishes            whether F may be 0 where the score is not, which
///                                               exact rows bound it for (variances.hpp)
///   bool in_support(T y)
///   void score(const T* z, T y, T* score)       d log p(y | z) / dz
///   double log_p(const double* z, double y)     in nats
///   double figure(const double* z, double y)    its part of the row's figure, which is their mean
///   double sample(const double* z, double u)    y at a uniform number u in [0, 1)
///   void information(const double* z, double* F)  the diagonal of F_out
///   double kl(const double* z, const double* now)  KL(p(. | z) || p(. | now)) in nats
///
/// and a constructor from an OutputDistribution where it has a fixed number. None of them need
/// look for outputs that are not finite.
template <class Target>
struct Independent {
  static constexpr bool integer_targets = false;
  static constexpr int outputs_a_target = Target::outputs;
  Target target;

  explicit Independent(const OutputDistribution& distribution) : target(made_from(distribution)) {}

  NATGRAD_FORMULA static std::int64_t targets(std::int64_t outputs) {
    return outputs / Target::outputs;
  }

  template <class Lanes, class T>
  NATGRAD_FORMULA void score(const Lanes& lanes, const T* z, std::int64_t outputs, const T* y,
                             T* score) const {
    const std::int64_t count = targets(outputs);
    for (std::int64_t k = lanes.index(); k < count; k += lanes.count()) {
      const Own<T> own(z, count, k);
      T of_target[Target::outputs];
      target.score(own.z, y[k], of_target);
      const T not_finite = target.in_support(y[k]) ? own.zero() : static_cast<T>(NAN);
      for (int i = 0; i < Target::outputs; ++i) score[i * count + k] = of_target[i] + not_finite;
    }
  }

  template <class Lanes, class T>
  NATGRAD_FORMULA double log_p(const Lanes& lanes, const T* z, std::int64_t outputs,
                               const T* y) const {
    return sum(lanes, targets(outputs), [&](std::int64_t count, std::int64_t k) {
      if (!target.in_support(y[k])) return static_cast<double>(NAN);
      return target.log_p(Own<double>(z, count, k).z, static_cast<double>(y[k]));
    });
  }

  /// The mean over the row's targets.
  template <class Lanes, class T>
  NATGRAD_FORMULA double figure(const Lanes& lanes, const T* z, std::int64_t outputs,
                                const T* y) const {
    const std::int64_t all = targets(outputs);
    return sum(lanes, all,
               [&](std::int64_t count, std::int64_t k) {
                 return target.figure(Own<double>(z, count, k).z, static_cast<double>(y[k]));
               }) /
           static_cast<double>(all);
  }

  template <class Lanes, class T>
  NATGRAD_FORMULA void sample(const Lanes& lanes, const T* z, std::int64_t outputs,
                              const DrawUniforms& uniform, std::int64_t draws, T* y) const {
    const std::int64_t count = targets(outputs);
    for (std::int64_t k = lanes.index(); k < count; k += lanes.count()) {
      const Own<double> own(z, count, k);
      for (std::int64_t draw = 0; draw < draws; ++draw) {
        const std::int64_t i = draw * count + k;
        y[i] = static_cast<T>(target.sample(own.z, uniform(i)) + own.zero());
      }
    }
  }

  /// In `coefficients` the roots stand until all rows are written.
  template <class Lanes, class T>
  NATGRAD_FORMULA void exact(const Lanes& lanes, const T* z, std::int64_t outputs, const T* y,
                             T* rows, std::int64_t stride, double* coefficients) const {
    const std::int64_t count = targets(outputs);
    for (std::int64_t k = lanes.index(); k < count; k += lanes.count()) {
      const Own<double> own(z, count, k);
      double F[Target::outputs];
      double score[Target::outputs];
      target.information(own.z, F);
      target.score(own.z, static_cast<double>(y[k]), score);
      const bool defined = target.in_support(y[k]);
      for (int i = 0; i < Target::outputs; ++i) {
        const double root = Target::variance_vanishes
                                ? bounded_root_of_target<T>(F[i], defined ? score[i] : 0)
                                : std::sqrt(F[i]);
        // As the row holds it, so that the product of row and coefficient is the score.
        coefficients[i * count + k] = static_cast<T>(root + own.zero());
      }
    }
    lanes.wait();
    for (std::int64_t c = 0; c < outputs; ++c) {
      for (std::int64_t j = lanes.index(); j < outputs; j += lanes.count()) {
        rows[c * stride + j] = c == j ? static_cast<T>(coefficients[c]) : 0;
      }
    }
    lanes.wait();
    for (std::int64_t k = lanes.index(); k < count; k += lanes.count()) {
      double score[Target::outputs];
      target.score(Own<double>(z, count, k).z, static_cast<double>(y[k]), score);
      for (int i = 0; i < Target::outputs; ++i) {
        double& r = coefficients[i * count + k];
        r = target.in_support(y[k]) ? exact_coefficient(score[i], r) : static_cast<double>(NAN);
      }
    }
  }

  template <class Lanes, class T>
  NATGRAD_FORMULA double kl(const Lanes& lanes, const T* z, const T* now,
                            std::int64_t outputs) const {
    return sum(lanes, targets(outputs), [&](std::int64_t count, std::int64_t k) {
      return target.kl(Own<double>(z, count, k).z, Own<double>(now, count, k).z);
    });
  }

 private:
  /// The outputs of one target.
  template <class Real>
  struct Own {
    Real z[Target::outputs];

    template <class T>
    NATGRAD_FORMULA Own(const T* all, std::int64_t count, std::int64_t k) {
      for (int i = 0; i < Target::outputs; ++i) z[i] = static_cast<Real>(all[i * count + k]);
    }
    /// 0, or NaN where an output is not finite.
    NATGRAD_FORMULA Real zero() const {
      Real sum = 0;
      for (int i = 0; i < Target::outputs; ++i) sum += z[i] * 0;
      return sum;
    }
  };

  static Target made_from(const OutputDistribution& distribution) {
    if constexpr (std::is_constructible_v<Target, const OutputDistribution&>) {
      return Target(distribution);
    } else {
      return Target{};
    }
  }

  template <class Lanes, class Term>
  NATGRAD_FORMULA static double sum(const Lanes& lanes, std::int64_t count, const Term& term) {
    double own = 0;
    for (std::int64_t k = lanes.index(); k < count; k += lanes.count()) own += term(count, k);
    return lanes.sum(own);
  }
};

}  // namespace natgrad::formulas
