#include "support/reference_density.hpp"

#include <cmath>
#include <numbers>

namespace natgrad::tests {

namespace {

class ReferenceMixture final : public ReferenceDensity {
 public:
  Real log_p(const DensityShape& shape, const Vector&, const Vector& theta,
             const Vector& x) const override {
    const Vector p = weights(shape, theta);
    Real largest = -std::numeric_limits<Real>::infinity();
    Vector logs;
    for (std::int64_t k = 0; k < shape.components; ++k) {
      Real value = std::log(p[static_cast<std::size_t>(k)]);
      for (std::int64_t i = 0; i < shape.dimensions; ++i) {
        value += log_normal(x[static_cast<std::size_t>(i)], mean(shape, theta, k, i),
                            scale(shape, theta, k, i));
      }
      logs.push_back(value);
      largest = std::fmax(largest, value);
    }
    Real sum = 0;
    for (const Real value : logs) sum += std::exp(value - largest);
    return largest + std::log(sum);
  }
  Vector sample(const DensityShape& shape, const Vector&, const Vector& theta,
                const Uniform& uniform) const override {
    const Vector p = weights(shape, theta);
    std::int64_t k = 0;
    Real below = p[0];
    while (below <= uniform(0) && k + 1 < shape.components) {
      below += p[static_cast<std::size_t>(++k)];
    }
    Vector x;
    for (std::int64_t i = 0; i < shape.dimensions; ++i) {
      x.push_back(mean(shape, theta, k, i) +
                  scale(shape, theta, k, i) * normal_from(uniform, 2 + 2 * i));
    }
    return x;
  }

  std::vector<DensityShape> shapes() const override {
    return {{.dimensions = 1, .components = 2},
            {.dimensions = 1, .components = 1},
            {.dimensions = 1, .components = 4},
            {.dimensions = 3, .components = 3}};
  }
  std::vector<double> theta(const DensityShape& shape) const override {
    std::vector<double> theta;
    const std::int64_t count = shape.components - 1 + 2 * shape.components * shape.dimensions;
    for (std::int64_t i = 0; i < count; ++i) {
      theta.push_back(0.3 * static_cast<double>((5 * i + 3) % 7) - 0.8);
    }
    return theta;
  }
  std::vector<Value> values() const override {
    // Two equal components at -1 and 1: at 0 each is responsible for one half. With weights 3/4 and
    // 1/4 of one and the same component, the responsibilities are the weights.
    return {{.theta = {0, -1, 1, 0, 0},
             .x = {0},
             .score = {0, 0.5, -0.5, 0, 0},
             .log_p = -0.5 - std::log(2 * std::numbers::pi) / 2},
            {.theta = {std::log(3.0), 1, 1, -std::numbers::ln2, -std::numbers::ln2},
             .x = {2},
             .score = {0, 3, 1, 2.25, 0.75},
             .log_p = -2 - std::log(2 * std::numbers::pi) / 2 + std::numbers::ln2}};
  }

 private:
  static Vector weights(const DensityShape& shape, const Vector& theta) {
    Vector p;
    Real sum = 0;
    for (std::int64_t k = 0; k < shape.components; ++k) {
      p.push_back(k + 1 < shape.components ? std::exp(theta[static_cast<std::size_t>(k)]) : 1);
      sum += p.back();
    }
    for (Real& weight : p) weight /= sum;
    return p;
  }
  static Real mean(const DensityShape& shape, const Vector& theta, std::int64_t k, std::int64_t i) {
    return theta[static_cast<std::size_t>(shape.components - 1 + k * shape.dimensions + i)];
  }
  static Real scale(const DensityShape& shape, const Vector& theta, std::int64_t k,
                    std::int64_t i) {
    const std::int64_t first = shape.components - 1 + shape.components * shape.dimensions;
    return std::exp(theta[static_cast<std::size_t>(first + k * shape.dimensions + i)]);
  }
};

const ReferenceDensity::Registration registration(DensityFamily::mixture,
                                                  std::make_unique<ReferenceMixture>());

}  // namespace

}  // namespace natgrad::tests
