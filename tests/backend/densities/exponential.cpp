#include "support/reference_density.hpp"

#include <cmath>
#include <numbers>

namespace natgrad::tests {

namespace {

class ReferenceExponential final : public ReferenceDensity {
 public:
  Real log_p(const DensityShape& shape, const Vector& constants, const Vector& theta,
             const Vector& x) const override {
    Real sum = 0;
    for (const Real mass : masses(shape, constants, theta)) sum += mass;
    Real log_p = -std::log(sum);
    for (std::size_t i = 0; i < theta.size(); ++i) log_p += theta[i] * x[i];
    return std::isfinite(log_p) ? log_p : naive::not_a_number;
  }
  Vector sample(const DensityShape& shape, const Vector& constants, const Vector& theta,
                const Uniform& uniform) const override {
    const Vector p = masses(shape, constants, theta);
    Real sum = 0;
    for (const Real mass : p) sum += mass;
    std::size_t q = 0;
    Real below = p[0];
    while (below <= uniform(0) * sum && q + 1 < p.size()) below += p[++q];
    const auto d = static_cast<std::ptrdiff_t>(theta.size());
    const auto first = constants.begin() + static_cast<std::ptrdiff_t>(q) * d;
    return {first, first + d};
  }

  std::vector<DensityShape> shapes() const override {
    return {{.dimensions = 1, .points = 2}, {.dimensions = 3, .points = 40}};
  }
  /// t of the points, then log w: two points 0 and 1 of weight 1, or powers of 40 points.
  std::vector<double> constants(const DensityShape& shape) const override {
    std::vector<double> numbers;
    for (std::int64_t q = 0; q < shape.points; ++q) {
      const double x = static_cast<double>(q) / static_cast<double>(shape.points - 1);
      for (std::int64_t i = 1; i <= shape.dimensions; ++i) {
        numbers.push_back(std::pow(x, static_cast<double>(i)));
      }
    }
    for (std::int64_t q = 0; q < shape.points; ++q) {
      const bool weightless = shape.points > 2 && q == 7;
      numbers.push_back(weightless ? -std::numeric_limits<double>::infinity()
                                   : 0.1 * static_cast<double>(q % 3));
    }
    if (shape.points == 2) numbers[2] = numbers[3] = 0;
    return numbers;
  }
  std::vector<double> theta(const DensityShape& shape) const override {
    std::vector<double> theta;
    for (std::int64_t i = 0; i < shape.dimensions; ++i) {
      theta.push_back(0.9 - 0.6 * static_cast<double>(i));
    }
    return theta;
  }
  std::vector<Value> values() const override {
    // A coin: p(1) = 3/4.
    return {{.theta = {std::log(3.0)}, .x = {1}, .score = {0.25}, .log_p = std::log(0.75)},
            {.theta = {std::log(3.0)}, .x = {0}, .score = {-0.75}, .log_p = std::log(0.25)}};
  }
  std::vector<double> fisher() const override { return {3.0 / 16}; }

 private:
  /// w_q exp(theta^T t_q).
  static Vector masses(const DensityShape& shape, const Vector& constants, const Vector& theta) {
    const auto d = static_cast<std::size_t>(shape.dimensions);
    Vector masses;
    for (std::size_t q = 0; q < static_cast<std::size_t>(shape.points); ++q) {
      Real exponent = constants[static_cast<std::size_t>(shape.points) * d + q];
      for (std::size_t i = 0; i < d; ++i) exponent += theta[i] * constants[q * d + i];
      masses.push_back(std::exp(exponent));
    }
    return masses;
  }
};

const ReferenceDensity::Registration registration(DensityFamily::exponential,
                                                  std::make_unique<ReferenceExponential>());

}  // namespace

}  // namespace natgrad::tests
