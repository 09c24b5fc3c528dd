#include "support/reference_independent.hpp"

#include <cmath>
#include <memory>
#include <numbers>

namespace natgrad::tests {

namespace {

class ReferenceGaussianScale final : public ReferenceIndependent {
 public:
  std::size_t outputs() const override { return 2; }
  bool variance_vanishes() const override { return false; }
  bool in_support(Real y) const override { return std::isfinite(y); }
  Real log_p_of(const Vector& z, Real y) const override {
    const Real x = (y - z[0]) / std::exp(z[1]);
    return -x * x / 2 - z[1] - std::log(8 * std::atan(Real{1})) / 2;
  }
  Vector score_of(const Vector& z, Real y) const override {
    const Real variance = std::exp(2 * z[1]);
    return {(y - z[0]) / variance, (y - z[0]) * (y - z[0]) / variance - 1};
  }
  Real figure_of(const Vector& z, Real y) const override { return (y - z[0]) * (y - z[0]); }
  Real sample_of(const Vector& z, double uniform) const override {
    return z[0] + std::exp(z[1]) * normal_quantile(uniform);
  }
  Vector information_of(const Vector& z) const override { return {std::exp(-2 * z[1]), 2}; }
  Real kl_of(const Vector& z, const Vector& now) const override {
    const Real difference = now[0] - z[0];
    return now[1] - z[1] - 0.5L +
           (std::exp(2 * z[1]) + difference * difference) / (2 * std::exp(2 * now[1]));
  }

  std::vector<Value> values() const override {
    // Targets at (2, -1) standard deviations of 1/2 and 2 from their means 1 and 0.
    const double log2 = std::log(2.0);
    const double log_p = -2.5 - std::log(2 * std::numbers::pi);
    const std::vector<double> fisher{4, 0, 0, 0, 0, 0.25, 0, 0, 0, 0, 2, 0, 0, 0, 0, 2};
    return {{{1, 0, -log2, log2}, {2, -2}, {4, -0.5, 3, 0}, log_p, 2.5, fisher},
            {{1, 0, -log2, log2}, {infinity, -2}, {nan, -0.5, nan, 0}, nan, infinity, fisher},
            // 5000 standard deviations off, which leaves F as it was.
            {{0, 0, -log2, log2},
             {2500, 0},
             {1e4, 0, 25e6 - 1, -1},
             -12.5e6 - std::log(2 * std::numbers::pi),
             3.125e6,
             fisher}};
  }
  std::vector<Divergence> divergences() const override {
    // Of one mean; of one scale, from 1 to 2; of neither.
    return {{{1, 0}, {3, 0}, 2},
            {{1, 0}, {1, std::log(2.0)}, std::log(2.0) - 0.5 + 0.125},
            {{1, -20}, {1, -20}, 0}};
  }
  std::vector<Draw> draws() const override {
    return {{{1, 0}, 0.5, {1}},
            {{1, std::log(3.0)}, 0.975, {1 + 3 * 1.959963984540054}},
            {{1, -infinity}, 0.5, {nan}},
            {{nan, 0}, 0.5, {nan}}};
  }

  std::vector<double> targets(std::int64_t rows, std::int64_t outputs) const override {
    return cycle({0, 1.5, -2.25, 0.75, 3, -0.5, 1}, rows * outputs / 2);
  }
  std::vector<double> targets_every_other_outside() const override {
    return every_other_row({infinity}, {0, 1.5, -2});
  }

  double largest_output() const override { return 20; }
  double score_bound(const Outputs& outputs) const override {
    return 10 * epsilon(outputs.type) * (square(outputs) / variance(outputs) + 1);
  }
  double largest_log_p_of(const Outputs& outputs) const override {
    return square(outputs) / variance(outputs) + outputs.largest + 1;
  }
  double largest_figure(const Outputs& outputs) const override { return square(outputs); }
  double largest_kl_of(const Outputs& outputs) const override {
    return 4 * (square(outputs) / variance(outputs) + 1 / (variance(outputs) * variance(outputs)));
  }
  double sample_bound(const Outputs& outputs) const override {
    return 4 * epsilon(outputs.type) * (outputs.largest + 8.3 / std::sqrt(variance(outputs)));
  }
  double row_bound(const Outputs& outputs) const override {
    return 2 * epsilon(outputs.type) * (1 / std::sqrt(variance(outputs)) + 2);
  }
  double coefficient_bound(const Outputs& outputs) const override {
    return 10 * epsilon(outputs.type) * (square(outputs) / variance(outputs) + 1);
  }

 private:
  /// The largest distance of a target from its mean, squared, and the smallest variance; the
  /// largest one is its inverse.
  static double square(const Outputs& outputs) {
    return (outputs.largest + 3) * (outputs.largest + 3);
  }
  static double variance(const Outputs& outputs) { return std::exp(-2 * outputs.largest); }
};

const ReferenceLikelihood::Registration registration(Likelihood::gaussian_scale,
                                                     std::make_unique<ReferenceGaussianScale>());

}  // namespace

}  // namespace natgrad::tests
