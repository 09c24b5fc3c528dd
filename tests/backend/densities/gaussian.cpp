#include "support/reference_density.hpp"

#include <cmath>
#include <numbers>

namespace natgrad::tests {

namespace {

constexpr double log_two_pi = 1.8378770664093454836;

/// N(mean, scale^2) of one number: a parameterization says what mean and scale are.
class ReferenceGaussian : public ReferenceDensity {
 public:
  struct Moments {
    Real mean;
    Real scale;
  };
  virtual Moments moments(const Vector& theta) const = 0;

  Real log_p(const DensityShape&, const Vector&, const Vector& theta,
             const Vector& x) const override {
    const Moments of = moments(theta);
    return log_normal(x[0], of.mean, of.scale);
  }
  Vector sample(const DensityShape&, const Vector&, const Vector& theta,
                const Uniform& uniform) const override {
    const Moments of = moments(theta);
    return {of.mean + of.scale * normal_from(uniform, 0)};
  }
  std::vector<DensityShape> shapes() const override { return {{}}; }
};

class ReferenceScale final : public ReferenceGaussian {
 public:
  Moments moments(const Vector& theta) const override {
    return {theta[0], theta[1] > 0 ? theta[1] : naive::not_a_number};
  }
  std::vector<double> theta(const DensityShape&) const override { return {0.3, 1.7}; }
  std::vector<double> outside() const override { return {0.3, -1}; }
  std::vector<Value> values() const override {
    // z = 2 at scale 1/2, z = 0 at scale 3.
    return {{.theta = {1, 0.5},
             .x = {2},
             .score = {4, 6},
             .log_p = -2 - log_two_pi / 2 + std::numbers::ln2},
            {.theta = {1, 3},
             .x = {1},
             .score = {0, -1.0 / 3},
             .log_p = -std::log(3.0) - log_two_pi / 2}};
  }
  std::vector<double> fisher() const override { return {4, 0, 0, 8}; }
};

class ReferenceLogScale final : public ReferenceGaussian {
 public:
  Moments moments(const Vector& theta) const override { return {theta[0], std::exp(theta[1])}; }
  std::vector<double> theta(const DensityShape&) const override { return {-0.4, 0.6}; }
  std::vector<Value> values() const override {
    return {{.theta = {1, -std::numbers::ln2},
             .x = {2},
             .score = {4, 3},
             .log_p = -2 - log_two_pi / 2 + std::numbers::ln2},
            {.theta = {1, 3}, .x = {1}, .score = {0, -1}, .log_p = -3 - log_two_pi / 2}};
  }
  std::vector<double> fisher() const override { return {4, 0, 0, 2}; }
};

class ReferenceNatural final : public ReferenceGaussian {
 public:
  Moments moments(const Vector& theta) const override {
    return {-theta[0] / (2 * theta[1]),
            theta[1] < 0 ? std::sqrt(-1 / (2 * theta[1])) : naive::not_a_number};
  }
  std::vector<double> theta(const DensityShape&) const override { return {0.5, -0.7}; }
  std::vector<double> outside() const override { return {0.5, 0.7}; }
  std::vector<Value> values() const override {
    // mean 1, scale 1/2: E x = 1, E x^2 = 5/4.
    return {{.theta = {4, -2},
             .x = {2},
             .score = {1, 4 - 1.25},
             .log_p = -2 - log_two_pi / 2 + std::numbers::ln2},
            {.theta = {0, -0.5}, .x = {0}, .score = {0, -1}, .log_p = -log_two_pi / 2}};
  }
  /// (s^2, 2 m s^2; 2 m s^2, 4 m^2 s^2 + 2 s^4).
  std::vector<double> fisher() const override { return {0.25, 0.5, 0.5, 1.125}; }
};

const ReferenceDensity::Registration scale(DensityFamily::gaussian_scale,
                                           std::make_unique<ReferenceScale>());
const ReferenceDensity::Registration log_scale(DensityFamily::gaussian_log_scale,
                                               std::make_unique<ReferenceLogScale>());
const ReferenceDensity::Registration natural(DensityFamily::gaussian_natural,
                                             std::make_unique<ReferenceNatural>());

}  // namespace

}  // namespace natgrad::tests
