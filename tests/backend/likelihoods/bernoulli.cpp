#include "support/reference_independent.hpp"

#include <algorithm>
#include <cmath>
#include <memory>

namespace natgrad::tests {

namespace {

class ReferenceBernoulli final : public ReferenceIndependent {
 public:
  bool in_support(Real y) const override { return y >= 0 && y <= 1; }
  Real log_p_of(const Vector& z, Real y) const override {
    return -y * softplus(-z[0]) - (1 - y) * softplus(z[0]);
  }
  Vector score_of(const Vector& z, Real y) const override { return {y - probability(z[0])}; }
  Real figure_of(const Vector& z, Real y) const override {
    return (probability(z[0]) > 0.5L) == (y > 0.5L) ? 1 : 0;
  }
  Real sample_of(const Vector& z, double uniform) const override {
    return uniform < probability(z[0]) ? 1 : 0;
  }
  Vector information_of(const Vector& z, Real least) const override {
    return {std::max(least, probability(z[0]) * probability(-z[0]))};
  }
  Real kl_of(const Vector& z, const Vector& now) const override {
    return probability(z[0]) * (softplus(-now[0]) - softplus(-z[0])) +
           probability(-z[0]) * (softplus(now[0]) - softplus(z[0]));
  }

  std::vector<Value> values() const override {
    // p = (1/2, 3/4), log-odds (0, log 3).
    const double log3 = std::log(3.0);
    const double log2 = std::log(2.0);
    const std::vector<double> fisher{0.25, 0, 0, 3.0 / 16};
    return {
        {{0, log3}, {1, 1}, {0.5, 0.25}, -log2 + log3 - 2 * log2, 0.5, fisher},
        {{0, log3}, {0, 0}, {-0.5, -0.75}, -3 * log2, 0.5, fisher},
        // Half a one and half a zero.
        {{0, log3}, {0.5, 0.5}, {0, -0.25}, -log2 + log3 / 2 - 2 * log2, 0.5, fisher},
        {{0, log3}, {-0.25, 1}, {nan, 0.25}, nan, 1, fisher},
        {{0, log3}, {1, 1.5}, {0.5, nan}, nan, 0.5, fisher},
        {{1000, -1000}, {1, 0}, {0, 0}, 0, 1, {0, 0, 0, 0}},
        {{1000, -1000}, {0, 1}, {-1, 1}, -2000, 0, {0, 0, 0, 0}},
    };
  }
  std::vector<Divergence> divergences() const override {
    // KL(3/4 || 1/2) = 3/4 log(3/2) + 1/4 log(1/2).
    const double log3 = std::log(3.0);
    return {{{log3}, {0}, 0.75 * std::log(1.5) - 0.25 * std::log(2.0)},
            {{0}, {log3}, 0.5 * std::log(2.0 / 3) + 0.5 * std::log(2.0)},
            {{5}, {5}, 0}};
  }
  std::vector<Draw> draws() const override {
    return {{{0}, 0, {1}},    {{0}, 0.4999, {1}},   {{0}, 0.5001, {0}},  {{0}, 0.9999, {0}},
            {{-1e5}, 0, {0}}, {{1e5}, 0.9999, {1}}, {{nan}, 0.5, {nan}}, {{infinity}, 0.5, {nan}}};
  }

  std::vector<double> targets(std::int64_t rows, std::int64_t outputs) const override {
    return cycle({0, 1, 1, 0.25, 0, 1, 0.75}, rows * outputs);
  }
  std::vector<double> targets_every_other_outside() const override {
    return every_other_row({-1, 1.5, -infinity, 2, infinity}, {0, 1, 0.5});
  }

  /// exp within 4 ulp, a sum, a quotient and a difference.
  double score_bound(const Outputs& outputs) const override { return 8 * epsilon(outputs.type); }
  double largest_log_p_of(const Outputs& outputs) const override { return outputs.largest + 1; }
  double largest_kl_of(const Outputs& outputs) const override { return 4 * outputs.largest + 1; }
  double sample_bound(const Outputs&) const override { return 0; }
  double row_bound(const Outputs& outputs) const override { return epsilon(outputs.type); }
  double coefficient_bound(const Outputs& outputs) const override {
    const double eps = epsilon(outputs.type);
    return 4 * eps / std::sqrt(std::max(eps, std::exp(-outputs.largest) / 4));
  }

 private:
  static Real probability(Real z) { return 1 / (1 + std::exp(-z)); }
  static Real softplus(Real z) { return z > 0 ? z + softplus(-z) : std::log1p(std::exp(z)); }
};

const ReferenceLikelihood::Registration registration(Likelihood::bernoulli,
                                                     std::make_unique<ReferenceBernoulli>());

}  // namespace

}  // namespace natgrad::tests
