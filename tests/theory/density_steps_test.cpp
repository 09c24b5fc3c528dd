#include "support/sanitized.hpp"
#include "support/tolerance.hpp"
#include "theory/densities.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <vector>

// Rows 6 and 7 of the table in docs/architecture.md for densities without inputs: a step of a KL
// trust region moves as far as it says, and natural paths do not depend on the parameters.

namespace natgrad::tests {

namespace {

/// An emulated device takes its time for a step, and the CPU has gone through all of them.
bool takes_fewer_steps() { return sanitized || test_device().kind != DeviceKind::cpu; }

double largest_eigenvalue(const Table& F) {
  Numbers v(F.rows, 1.0);
  double value = 0;
  for (int i = 0; i < 300; ++i) {
    v[0] += 1e-3;  // never orthogonal
    const Numbers w = multiply(F, v);
    value = std::sqrt(dot(w, w));
    for (std::size_t j = 0; j < v.size(); ++j) v[j] = w[j] / value;
  }
  return value;
}

/// Where a step of a KL trust region leads from theta, on samples of another theta.
Numbers trusted_step(const DensityCase& of, CaseDensity& density, std::uint64_t number,
                     double radius, double damping) {
  Density& model = density.density();
  model.write(of.theta(number + 50));
  model.set_draw_counter(0);
  const Array samples =
      density.upload(host_copy<double>(density.context(), model.sample(30)), model.columns());
  model.write(of.theta(number));
  model.compute(samples);
  const Array gradient = density.upload(Numbers(density.parameters(), 0.0), 1);
  model.gradient(gradient);
  const bool exact = model.has_exact();
  DenseScores rows(model.parameters(), {.kind = exact ? FisherKind::exact : FisherKind::sampled});
  if (exact) {
    model.compute_exact();
    model.add_exact_to(rows);
  } else {
    model.compute_sampled(20000);
    model.add_sampled_to(rows);
  }
  NaturalGradient optimizer(model.parameters(),
                            {.damping = {.absolute = damping},
                             .step = KlTrustRegion{.radius = radius, .max_rate = 1e9},
                             .momentum = NoMomentum{},
                             .form = Form::primal});
  optimizer.step(Batch{.fisher = rows, .gradient = Gradient{gradient}});
  const StepReport report = optimizer.report();
  EXPECT_EQ(report.outcome, Outcome::accepted);
  EXPECT_TRUE(within(report.predicted_kl.value_or(0), radius, 1e-9 * radius));
  return model.read();
}

TEST(theory, density_kl_trust_region_moves_by_its_radius_at_any_damping) {
  constexpr double radius = 1e-4;
  for (const DensityCase& of : exact_density_cases()) {
    if (of.is_mixture()) continue;
    SCOPED_TRACE(of.name);
    CaseDensity density(of);
    for (double damping : {0.0, 1e-2, 1e-6, 10.0}) {
      if (takes_fewer_steps() && damping != 0 && damping != 1e-2) continue;
      for (std::uint64_t number = 0; number < 10; ++number) {
        SCOPED_TRACE(testing::Message() << "damping " << damping << ", number " << number);
        const Numbers after = trusted_step(of, density, number, radius, damping);
        EXPECT_TRUE(within(density.kl(of.theta(number), after), radius, 0.05 * radius));
      }
    }
  }
}

TEST(theory, density_kl_trust_region_of_mixtures_deviates_in_the_third_order) {
  constexpr double radius = 1e-4;
  for (const DensityCase& of : density_cases()) {
    if (!of.is_mixture()) continue;
    SCOPED_TRACE(of.name);
    CaseDensity density(of);
    const bool exact = density.density().has_exact();
    std::vector<double> ratios;
    const std::uint64_t count = takes_fewer_steps() ? (exact ? 5 : 1) : 10;
    for (std::uint64_t number = 0; number < count; ++number) {
      SCOPED_TRACE(number);
      const Numbers theta = of.theta(number);
      const double damping = 1e-2 * largest_eigenvalue(density.grid_fisher(theta));
      const auto deviation = [&](double size) {
        const Numbers after = trusted_step(of, density, number, size, damping);
        return density.grid_kl(theta, after) / size - 1;
      };
      const double whole = deviation(radius);
      EXPECT_TRUE(within(whole, 0, 0.12));
      if (exact) ratios.push_back(whole / deviation(radius / 2));
    }
    if (!exact) continue;
    const auto median = ratios.begin() + static_cast<std::ptrdiff_t>(ratios.size() / 2);
    std::nth_element(ratios.begin(), median, ratios.end());
    // The deviation is of the order of the root of the radius.
    EXPECT_GE(*median, 1.35);
    EXPECT_LE(*median, 1.5);
  }
}

// Row 7.

/// A parameterization of the univariate Gaussian: theta of (mean, log scale), and back.
struct Parameterization {
  DensityFamily family;
  std::function<Numbers(double mean, double log_scale)> theta;
  std::function<Numbers(const Numbers& theta)> moments;
};

const std::vector<Parameterization>& parameterizations() {
  static const std::vector<Parameterization> all = {
      {DensityFamily::gaussian_scale,
       [](double m, double l) {
         return Numbers{m, std::exp(l)};
       },
       [](const Numbers& theta) {
         return Numbers{theta[0], std::log(theta[1])};
       }},
      {DensityFamily::gaussian_log_scale,
       [](double m, double l) {
         return Numbers{m, l};
       },
       [](const Numbers& theta) { return theta; }},
      {DensityFamily::gaussian_natural,
       [](double m, double l) {
         return Numbers{m * std::exp(-2 * l), -std::exp(-2 * l) / 2};
       },
       [](const Numbers& theta) {
         return Numbers{-theta[0] / (2 * theta[1]), -std::log(-2 * theta[1]) / 2};
       }},
  };
  return all;
}

/// (mean, log scale) along a path of so much time at this rate: damping < 0 is plain gradient
/// ascent.
std::vector<Numbers> path(const Parameterization& of, double rate, double time, double damping) {
  const DensityCase density_case{"", {.family = of.family}};
  CaseDensity density(density_case);
  Density& model = density.density();
  model.write(of.theta(-0.5, 0.6));
  const Array samples = density.upload({0.9, 1.4, 1.1, 1.9, 1.3, 0.6, 1.2, 1.6}, 1);
  const Array gradient = density.upload({0, 0}, 1);
  DenseScores rows(model.parameters(), {.kind = FisherKind::exact});
  NaturalGradient natural(model.parameters(), {.damping = {.absolute = std::max(damping, 0.0)},
                                               .step = FixedRate{rate},
                                               .momentum = NoMomentum{},
                                               .form = Form::primal});
  FirstOrder plain(model.parameters(), {.rule = Sgd{0}, .rate = rate});
  std::vector<Numbers> moments;
  const auto steps = static_cast<int>(std::lround(time / rate));
  for (int step = 0; step < steps; ++step) {
    model.compute(samples);
    model.gradient(gradient);
    if (damping < 0) {
      plain.step(gradient);
    } else {
      model.compute_exact();
      model.add_exact_to(rows);
      natural.step(Batch{.fisher = rows, .gradient = Gradient{gradient}});
    }
    moments.push_back(of.moments(model.read()));
  }
  return moments;
}

/// The largest distance between the paths of two parameterizations, over all pairs and times.
double distance(double rate, double damping) {
  double largest = 0;
  std::vector<std::vector<Numbers>> paths;
  for (const Parameterization& of : parameterizations()) {
    paths.push_back(path(of, rate, 1, damping));
  }
  for (const auto& a : paths) {
    for (const auto& b : paths) {
      for (std::size_t i = 0; i < a.size(); ++i) {
        largest = std::fmax(largest, std::hypot(a[i][0] - b[i][0], a[i][1] - b[i][1]));
      }
    }
  }
  return largest;
}

TEST(theory, density_natural_paths_do_not_depend_on_the_parameters) {
  const double at_rate = distance(0.04, 0);
  const double at_half = distance(0.02, 0);
  EXPECT_GT(at_half, 0);
  EXPECT_LE(at_rate, 0.1);
  // To first order in the rate.
  EXPECT_GE(at_rate / at_half, 1.8);
  EXPECT_LE(at_rate / at_half, 2.2);
}

TEST(theory, density_damped_and_plain_paths_stay_apart) {
  for (double damping : {0.1, -1.0}) {
    const double at_rate = distance(0.04, damping);
    const double at_half = distance(0.02, damping);
    EXPECT_GE(at_half, 0.1) << damping;
    EXPECT_GE(at_half, 0.9 * at_rate) << damping;
  }
}

}  // namespace

}  // namespace natgrad::tests
