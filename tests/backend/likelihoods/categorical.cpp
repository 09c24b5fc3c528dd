#include "support/reference_likelihood.hpp"
#include "support/tolerance.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

namespace natgrad::tests {

namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();

class ReferenceCategorical final : public ReferenceLikelihood {
 public:
  Real log_p(const Vector& z, const Vector& y) const override {
    return is_class(z, y) ? log_softmax(z)[static_cast<std::size_t>(y[0])] : naive::not_a_number;
  }

  Vector score(const Vector& z, const Vector& y) const override {
    Vector score = log_softmax(z);
    for (std::size_t c = 0; c < z.size(); ++c) {
      const Real difference = (static_cast<Real>(c) == y[0] ? 1 : 0) - std::exp(score[c]);
      score[c] = is_class(z, y) ? difference : naive::not_a_number;
    }
    return score;
  }

  Real figure(const Vector& z, const Vector& y) const override {
    const Vector log_p = log_softmax(z);
    const auto largest = std::max_element(log_p.begin(), log_p.end()) - log_p.begin();
    return static_cast<Real>(largest) == y[0] ? 1 : 0;
  }

  Vector sample(const Vector& z, const Uniform& uniform) const override {
    for (Real output : z) {
      if (!std::isfinite(output)) return {-1};
    }
    const Vector log_p = log_softmax(z);
    std::size_t label = 0;
    Real below = std::exp(log_p[0]);
    while (below <= uniform(0) && label + 1 < z.size()) below += std::exp(log_p[++label]);
    return {static_cast<Real>(label)};
  }

  Exact exact(const Vector& z, const Vector& y, Real least) const override {
    const Vector log_p = log_softmax(z);
    Exact exact{std::vector<Vector>(z.size(), Vector(z.size())), score(z, y)};
    for (std::size_t c = 0; c < z.size(); ++c) {
      const Real root = std::sqrt(std::max(least, std::exp(log_p[c])));
      exact.r[c] /= root;
      for (std::size_t j = 0; j < z.size(); ++j) {
        exact.rows[c][j] = root * ((c == j ? 1 : 0) - std::exp(log_p[j]));
      }
    }
    return exact;
  }

  Real kl(const Vector& z, const Vector& now) const override {
    const Vector before = log_softmax(z);
    const Vector after = log_softmax(now);
    Real sum = 0;
    for (std::size_t c = 0; c < z.size(); ++c) {
      sum += std::exp(before[c]) * (before[c] - after[c]);
    }
    return sum;
  }

  std::vector<Value> values() const override {
    // softmax(0, ln 2, 0) = (1/4, 1/2, 1/4); softmax(1000, 1000, 1000) = 1/3 each.
    const double ln2 = std::numbers::ln2;
    const std::vector<double> fisher{3.0 / 16, -1.0 / 8,  -1.0 / 16, -1.0 / 8, 1.0 / 4,
                                     -1.0 / 8, -1.0 / 16, -1.0 / 8,  3.0 / 16};
    const std::vector<double> of_thirds{2.0 / 9,  -1.0 / 9, -1.0 / 9, -1.0 / 9, 2.0 / 9,
                                        -1.0 / 9, -1.0 / 9, -1.0 / 9, 2.0 / 9};
    const std::vector<double> of_last{3.0 / 16, -1.0 / 16, -1.0 / 8, -1.0 / 16, 3.0 / 16,
                                      -1.0 / 8, -1.0 / 8,  -1.0 / 8, 1.0 / 4};
    return {
        {.z = {0, ln2, 0},
         .y = {1},
         .score = {-0.25, 0.5, -0.25},
         .log_p = -ln2,
         .figure = 1,
         .fisher = fisher},
        {.z = {0, ln2, 0},
         .y = {0},
         .score = {0.75, -0.5, -0.25},
         .log_p = -2 * ln2,
         .figure = 0,
         .fisher = fisher},
        {.z = {1000, 1000, 1000},
         .y = {2},
         .score = {-1.0 / 3, -1.0 / 3, 2.0 / 3},
         .log_p = -std::log(3.0),
         .figure = 0,
         .fisher = of_thirds},
        {.z = {0, 0, ln2},
         .y = {3},
         .score = {nan, nan, nan},
         .log_p = nan,
         .figure = 0,
         .fisher = of_last},
        {.z = {0, 0, ln2},
         .y = {-1},
         .score = {nan, nan, nan},
         .log_p = nan,
         .figure = 0,
         .fisher = of_last},
    };
  }

  std::vector<Divergence> divergences() const override {
    // From (1/4, 1/2, 1/4) to thirds and back; of distributions that share no class.
    const double ln2 = std::numbers::ln2;
    return {{{0, ln2, 0}, {5, 5, 5}, std::log(3.0) - 1.5 * ln2},
            {{0, 0, 0}, {0, ln2, 0}, 5 * ln2 / 3 - std::log(3.0)},
            {{1000, 0}, {0, 1000}, 1000},
            {{3, 1, 2}, {3, 1, 2}, 0}};
  }

  std::vector<Draw> draws() const override {
    const std::vector<double> z = {0, std::numbers::ln2, 0};
    // The sums of the probabilities pass 1/4 and 3/4.
    return {{z, 0, {0}},
            {z, 0.2499, {0}},
            {z, 0.2501, {1}},
            {z, 0.7499, {1}},
            {z, 0.7501, {2}},
            {z, 0.9999, {2}},
            {{-1e5, -1e5, 1e5}, 0, {2}},
            {{nan, 0, 0}, 0.5, {-1}},
            {{0, -std::numeric_limits<double>::infinity(), 0}, 0.5, {-1}}};
  }

  std::vector<double> targets(std::int64_t rows, std::int64_t outputs) const override {
    std::vector<double> labels;
    for (std::int64_t n = 0; n < rows; ++n) {
      labels.push_back(static_cast<double>((7 * n + 3) % outputs));
    }
    return labels;
  }

  std::vector<double> targets_every_other_outside() const override {
    return {-1, 4, 5, 0, 2147483647, 1, -2147483647, 2};
  }

  /// exp within 4 ulp, of an argument whose rounding counts at most once, because x exp(-x) < 1; a
  /// sum of C; a quotient and a difference.
  double score_bound(const Outputs& outputs) const override {
    return softmax_bound(outputs.count, outputs.type);
  }

  double largest_log_p(const Outputs& outputs) const override {
    return 2 * outputs.largest + std::log(static_cast<double>(outputs.count));
  }

  /// The logarithm of a sum errs as softmax does.
  double log_p_bound(const Outputs& outputs) const override {
    return softmax_bound(outputs.count, ElementType::float64) +
           sum_bound(4, ElementType::float64, largest_log_p(outputs));
  }

  double kl_bound(const Outputs& outputs) const override {
    return (static_cast<double>(outputs.count) + 20) * epsilon(ElementType::float64) *
           (4 * outputs.largest + std::log(static_cast<double>(outputs.count)));
  }

  double row_bound(const Outputs& outputs) const override { return 2 * epsilon(outputs.type); }

  /// The quotient of a score that errs in double and the root of a probability.
  double coefficient_bound(const Outputs& outputs) const override {
    const double least = std::exp(-2 * outputs.largest) / static_cast<double>(outputs.count);
    return softmax_bound(outputs.count, ElementType::float64) /
           std::sqrt(std::max(epsilon(outputs.type), least));
  }

  /// The uniform numbers are the same bits, and the sums in double so close to the reference's that
  /// none of these few thousand falls between the two.
  double sample_bound(const Outputs&) const override { return 0; }

 private:
  static double softmax_bound(std::int64_t classes, ElementType type) {
    return (static_cast<double>(classes) + 10) * epsilon(type);
  }

  static bool is_class(const Vector& z, const Vector& y) {
    return y[0] >= 0 && y[0] < static_cast<Real>(z.size());
  }

  /// With the largest output taken out, so that exp cannot overflow.
  static Vector log_softmax(Vector z) {
    const Real largest = *std::max_element(z.begin(), z.end());
    Real sum = 0;
    for (Real output : z) sum += std::exp(output - largest);
    for (Real& output : z) output -= largest + std::log(sum);
    return z;
  }
};

const ReferenceLikelihood::Registration registration(Likelihood::categorical,
                                                     std::make_unique<ReferenceCategorical>());

}  // namespace

}  // namespace natgrad::tests
