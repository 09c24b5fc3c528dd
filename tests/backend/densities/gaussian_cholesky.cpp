#include "support/reference_density.hpp"

#include <cmath>
#include <numbers>

namespace natgrad::tests {

namespace {

class ReferenceGaussianCholesky final : public ReferenceDensity {
 public:
  /// L z = x - mean by forward substitution.
  Real log_p(const DensityShape& shape, const Vector&, const Vector& theta,
             const Vector& x) const override {
    const auto d = static_cast<std::size_t>(shape.dimensions);
    Vector z(d);
    Real sum = 0;
    for (std::size_t i = 0; i < d; ++i) {
      Real rest = x[i] - theta[i];
      for (std::size_t j = 0; j < i; ++j) rest -= element(d, theta, i, j) * z[j];
      z[i] = rest / std::exp(theta[d + i]);
      sum += log_normal(z[i], 0, 1) - theta[d + i];
    }
    return sum;
  }
  Vector sample(const DensityShape& shape, const Vector&, const Vector& theta,
                const Uniform& uniform) const override {
    const auto d = static_cast<std::size_t>(shape.dimensions);
    Vector x;
    for (std::size_t i = 0; i < d; ++i) {
      Real value = theta[i] +
                   std::exp(theta[d + i]) * normal_from(uniform, 2 * static_cast<std::int64_t>(i));
      for (std::size_t j = 0; j < i; ++j) {
        value += element(d, theta, i, j) * normal_from(uniform, 2 * static_cast<std::int64_t>(j));
      }
      x.push_back(value);
    }
    return x;
  }

  std::vector<DensityShape> shapes() const override {
    return {{.dimensions = 2}, {.dimensions = 1}, {.dimensions = 4}};
  }
  std::vector<double> theta(const DensityShape& shape) const override {
    const std::int64_t d = shape.dimensions;
    std::vector<double> theta;
    for (std::int64_t i = 0; i < 2 * d + d * (d - 1) / 2; ++i) {
      theta.push_back(0.4 * static_cast<double>((3 * i + 2) % 5) - 0.7);
    }
    return theta;
  }
  std::vector<Value> values() const override {
    // L = (2, 0; 1, 1): z = (1, 2) at x - mean = (2, 3); u = L^-T z = (-1/2, 2).
    return {{.theta = {1, 0, std::numbers::ln2, 0, 1},
             .x = {3, 3},
             .score = {-0.5, 2, -0.5 * 1 * 2 - 1, 2 * 2 - 1, 2 * 1},
             .log_p = -2.5 - std::log(2 * std::numbers::pi) - std::numbers::ln2}};
  }
  /// With A = L^-1 = (1/2, 0; -1/2, 1): A^T A = (1/2, -1/2; -1/2, 1) of the mean; M = A dL is
  /// (dl_1, 0; dL_21 - dl_1, dl_2), and 2 M_11^2 + M_21^2 + 2 M_22^2 of the rest.
  std::vector<double> fisher() const override {
    return {0.5,  -0.5, 0,  0, 0,   //
            -0.5, 1,    0,  0, 0,   //
            0,    0,    3,  0, -1,  //
            0,    0,    0,  2, 0,   //
            0,    0,    -1, 0, 1};
  }

 private:
  static Real element(std::size_t d, const Vector& theta, std::size_t i, std::size_t j) {
    return theta[2 * d + i * (i - 1) / 2 + j];
  }
};

const ReferenceDensity::Registration registration(DensityFamily::gaussian_cholesky,
                                                  std::make_unique<ReferenceGaussianCholesky>());

}  // namespace

}  // namespace natgrad::tests
