#include "support/reference_independent.hpp"

#include <algorithm>
#include <cmath>
#include <memory>

namespace natgrad::tests {

namespace {

class ReferencePoisson final : public ReferenceIndependent {
 public:
  bool in_support(Real y) const override {
    return y >= 0 && std::isfinite(y) && y == std::floor(y);
  }
  Real log_p_of(const Vector& z, Real y) const override {
    return y * z[0] - std::exp(z[0]) - std::lgamma(y + 1);
  }
  Vector score_of(const Vector& z, Real y) const override { return {y - std::exp(z[0])}; }
  Real figure_of(const Vector& z, Real y) const override {
    return (y - std::exp(z[0])) * (y - std::exp(z[0]));
  }
  Real sample_of(const Vector& z, double uniform) const override {
    const Real rate = std::exp(z[0]);
    if (rate > 256) {
      const Real x = normal_quantile(uniform);
      return std::floor(rate + std::sqrt(rate) * x + (x * x - 1) / 6 + 0.5L);
    }
    Real y = 0;
    Real below = std::exp(-rate);
    while (below <= uniform) {
      ++y;
      below += std::exp(y * z[0] - rate - std::lgamma(y + 1));
    }
    return y;
  }
  Vector information_of(const Vector& z) const override { return {std::exp(z[0])}; }
  Real kl_of(const Vector& z, const Vector& now) const override {
    return std::exp(z[0]) * (z[0] - now[0]) - std::exp(z[0]) + std::exp(now[0]);
  }

  std::vector<Value> values() const override {
    // Rates 1 and 2: p(0) = exp(-1), p(3) = 8 exp(-2) / 6.
    const double log2 = std::log(2.0);
    const std::vector<double> fisher{1, 0, 0, 2};
    return {{{0, log2}, {0, 3}, {-1, 1}, -3 + std::log(8.0 / 6), 1, fisher},
            {{0, log2}, {0, 2}, {-1, 0}, -3 + log2, 0.5, fisher},
            // log 20! of Stirling's series, log 15! of a product.
            {{0, log2},
             {20, 15},
             {19, 13},
             15 * log2 - 3 - 42.335616460753485 - 27.899271383840890,
             (361 + 169) / 2.0,
             fisher},
            // A count far beyond what its rate lets expect, at which F is the rate all the same.
            {{0, log2},
             {1e8, 2},
             {1e8 - 1, 0},
             -3 + log2 - 1742068084.5245156,
             (1e8 - 1) * (1e8 - 1) / 2,
             fisher},
            {{0, log2}, {-1, 2}, {nan, 0}, nan, 2, fisher},
            {{0, log2}, {0.5, 2}, {nan, 0}, nan, 0.125, fisher},
            {{0, log2}, {0, infinity}, {-1, nan}, nan, infinity, fisher}};
  }
  std::vector<Divergence> divergences() const override {
    // From rate 1 to 2: -log 2 + 1.
    return {{{0}, {std::log(2.0)}, 1 - std::log(2.0)},
            {{std::log(2.0)}, {0}, 2 * std::log(2.0) - 1},
            {{7}, {7}, 0},
            {{-1000}, {-1000}, 0}};
  }
  std::vector<Draw> draws() const override {
    // Rate 1: the distribution function is (1, 2, 5/2) exp(-1) = 0.3679, 0.7358, 0.9197.
    return {{{0}, 0, {0}},
            {{0}, 0.3678, {0}},
            {{0}, 0.3680, {1}},
            {{0}, 0.7357, {1}},
            {{0}, 0.7359, {2}},
            {{0}, 0.9198, {3}},
            {{-1e4}, 0.9999, {0}},
            // The median of a rate of 1000.
            {{std::log(1000.0)}, 0.5, {1000}},
            {{nan}, 0.5, {nan}},
            {{infinity}, 0.5, {nan}}};
  }

  std::vector<double> targets(std::int64_t rows, std::int64_t outputs) const override {
    return cycle({0, 1, 5, 2, 17, 0, 3}, rows * outputs);
  }
  std::vector<double> targets_every_other_outside() const override {
    return every_other_row({-1, 0.5, infinity, 1.25, -2}, {0, 4, 1});
  }

  double largest_output() const override { return 30; }
  double score_bound(const Outputs& outputs) const override {
    return 8 * epsilon(outputs.type) * (rate(outputs) + 17);
  }
  double largest_log_p_of(const Outputs& outputs) const override {
    return rate(outputs) + 17 * outputs.largest + 40;
  }
  double largest_figure(const Outputs& outputs) const override {
    return (rate(outputs) + 17) * (rate(outputs) + 17);
  }
  double largest_kl_of(const Outputs& outputs) const override {
    return 4 * rate(outputs) * (outputs.largest + 1);
  }
  /// None of these few thousand falls between two sums; of large rates what is rounded may.
  double sample_bound(const Outputs& outputs) const override {
    return rate(outputs) <= 256 ? 0 : 1 + 2 * epsilon(outputs.type) * rate(outputs);
  }
  double row_bound(const Outputs& outputs) const override {
    return 2 * epsilon(outputs.type) * std::sqrt(rate(outputs));
  }
  double coefficient_bound(const Outputs& outputs) const override {
    const double eps = epsilon(outputs.type);
    return 8 * eps * (17 / std::sqrt(std::max(eps, 1 / rate(outputs))) + std::sqrt(rate(outputs)));
  }

 private:
  static double rate(const Outputs& outputs) { return std::exp(outputs.largest); }
};

const ReferenceLikelihood::Registration registration(Likelihood::poisson,
                                                     std::make_unique<ReferencePoisson>());

}  // namespace

}  // namespace natgrad::tests
