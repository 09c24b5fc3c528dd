#include "support/reference_independent.hpp"

#include <cmath>
#include <memory>
#include <numbers>

namespace natgrad::tests {

namespace {

class ReferenceGaussian final : public ReferenceIndependent {
 public:
  double sigma() const override { return 0.5; }
  bool variance_vanishes() const override { return false; }

  bool in_support(Real y) const override { return std::isfinite(y); }
  Real log_p_of(const Vector& z, Real y) const override {
    const Real x = (y - z[0]) / sigma();
    return -x * x / 2 - std::log(sigma() * std::sqrt(8 * std::atan(Real{1})));
  }
  Vector score_of(const Vector& z, Real y) const override {
    return {(y - z[0]) / (sigma() * sigma())};
  }
  Real figure_of(const Vector& z, Real y) const override { return (y - z[0]) * (y - z[0]); }
  Real sample_of(const Vector& z, double uniform) const override {
    return z[0] + sigma() * normal_quantile(uniform);
  }
  Vector information_of(const Vector&) const override { return {1 / (sigma() * sigma())}; }
  Real kl_of(const Vector& z, const Vector& now) const override {
    return (now[0] - z[0]) * (now[0] - z[0]) / (2 * sigma() * sigma());
  }

  std::vector<Value> values() const override {
    // Of (y - z) / sigma = (2, -1).
    const double log2 = std::log(2.0);
    const double log_two_pi = std::log(2 * std::numbers::pi);
    const double log_p = -2.5 + 2 * log2 - log_two_pi;
    const std::vector<double> fisher{4, 0, 0, 4};
    return {{{1, 0.5}, {2, 0}, {4, -2}, log_p, 0.625, fisher},
            {{1, 0.5}, {2, infinity}, {4, nan}, nan, infinity, fisher},
            {{1, 0.5}, {nan, 0}, {nan, -2}, nan, nan, fisher},
            // However far a target is off, F is as it was.
            {{0, 0}, {1e8, 0}, {4e8, 0}, -2e16 + 2 * log2 - log_two_pi, 5e15, fisher}};
  }
  std::vector<Divergence> divergences() const override {
    return {{{1, 2}, {1.5, 1}, 0.5 + 2}, {{1e8}, {1e8}, 0}};
  }
  std::vector<Draw> draws() const override {
    return {{{1}, 0.5, {1}},
            {{1}, 0.975, {1 + 0.5 * 1.959963984540054}},
            {{1}, 0.025, {1 - 0.5 * 1.959963984540054}},
            {{-1e4}, 0.5, {-1e4}},
            {{nan}, 0.5, {nan}},
            {{infinity}, 0.5, {nan}}};
  }

  std::vector<double> targets(std::int64_t rows, std::int64_t outputs) const override {
    return cycle({0, 1.5, -2.25, 0.75, 3, -0.5, 1}, rows * outputs);
  }
  std::vector<double> targets_every_other_outside() const override {
    return every_other_row({infinity}, {0, 1.5, -2});
  }

  double score_bound(const Outputs& outputs) const override {
    return 3 * epsilon(outputs.type) * distance(outputs) / (sigma() * sigma());
  }
  double largest_log_p_of(const Outputs& outputs) const override {
    return 2 * distance(outputs) * distance(outputs) + 2;
  }
  double largest_figure(const Outputs& outputs) const override {
    return distance(outputs) * distance(outputs);
  }
  double largest_kl_of(const Outputs& outputs) const override {
    return 8 * outputs.largest * outputs.largest;
  }
  double sample_bound(const Outputs& outputs) const override {
    return 2 * epsilon(outputs.type) * (outputs.largest + 8.3 * sigma());
  }
  double row_bound(const Outputs& outputs) const override { return 2 * epsilon(outputs.type); }
  double coefficient_bound(const Outputs& outputs) const override {
    return 4 * epsilon(outputs.type) * distance(outputs) / sigma();
  }

 private:
  /// Between target and output, at most.
  static double distance(const Outputs& outputs) { return outputs.largest + 3; }
};

const ReferenceLikelihood::Registration registration(Likelihood::gaussian,
                                                     std::make_unique<ReferenceGaussian>());

}  // namespace

}  // namespace natgrad::tests
