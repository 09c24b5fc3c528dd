#pragma once

#include "natgrad/natgrad.hpp"
#include "support/device.hpp"
#include "support/plain.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace natgrad::tests {

/// A density and random parameters for it, and the grid that expectations are sums over: trapezoids
/// in one or two dimensions, far finer than any scale here, whose error is that of rounding; the
/// points of its support for an exponential family.
struct DensityCase {
  std::string name;
  Density::Options options;

  /// Number `number` of its random parameter vectors: scales from 0.6 to 1.6, in two
  /// dimensions from 0.8 to 1.2, so that the grid is fine and wide enough.
  Numbers theta(std::uint64_t number) const {
    Random random(100 * number + 17);
    const auto scale = [&] { return std::exp(0.48 * random()); };
    switch (options.family) {
      case DensityFamily::gaussian_scale:
        return {random(), scale()};
      case DensityFamily::gaussian_natural: {
        const double mean = random();
        const double s = scale();
        return {mean / (s * s), -1 / (2 * s * s)};
      }
      case DensityFamily::exponential: {
        return random.numbers(static_cast<std::size_t>(options.support.statistics));
      }
      case DensityFamily::gaussian_log_scale:
      case DensityFamily::gaussian_cholesky:
      case DensityFamily::mixture:
        break;
    }
    return random_log_scales(random);
  }

  /// Points x (N, D) and the weights of their sum.
  struct Grid {
    std::vector<double> x;
    Numbers weights;
  };
  Grid grid() const {
    Grid grid;
    if (options.family == DensityFamily::exponential) {
      grid.x = options.support.observe(options.support.points);
      grid.weights = options.support.weights;
      return grid;
    }
    const double step = options.dimensions == 1 ? 0.08 : 0.2;
    const auto count = static_cast<int>((options.dimensions == 1 ? 18 : 13) / step);
    for (int i = -count; i <= count; ++i) {
      if (options.dimensions == 1) {
        grid.x.push_back(i * step);
        grid.weights.push_back(step);
        continue;
      }
      for (int j = -count; j <= count; ++j) {
        grid.x.insert(grid.x.end(), {i * step, j * step});
        grid.weights.push_back(step * step);
      }
    }
    return grid;
  }

  bool is_mixture() const { return options.family == DensityFamily::mixture; }

 private:
  Numbers random_log_scales(Random& random) const {
    Numbers theta;
    const auto add = [&](std::int64_t count, double size) {
      for (std::int64_t i = 0; i < count; ++i) theta.push_back(size * random());
    };
    const std::int64_t K = options.components;
    const std::int64_t d = options.dimensions;
    if (is_mixture()) {
      add(K - 1, 0.7);
      // Components that can be told apart: two scales closer, F has directions so flat that one
      // vector in thirty deviates from the radius by more than the theory tests allow.
      for (std::int64_t k = 0; k < K; ++k) {
        for (std::int64_t i = 0; i < d; ++i) {
          theta.push_back(1.5 * static_cast<double>(2 * k - K + 1) + 0.2 * random());
        }
      }
    } else {
      add(d, 0.7);
    }
    add(K * d, d == 1 ? 0.48 : 0.2);
    if (options.family == DensityFamily::gaussian_cholesky) add(d * (d - 1) / 2, 0.6);
    return theta;
  }
};

/// The powers x, ..., x^count.
inline auto powers(std::int64_t count) {
  return [count](double x, std::span<double> t) {
    double power = 1;
    for (std::int64_t i = 0; i < count; ++i) t[static_cast<std::size_t>(i)] = power *= x;
  };
}

inline std::vector<DensityCase> density_cases() {
  return {
      {"gaussian_scale", {.family = DensityFamily::gaussian_scale}},
      {"gaussian_log_scale", {.family = DensityFamily::gaussian_log_scale}},
      {"gaussian_natural", {.family = DensityFamily::gaussian_natural}},
      {"gaussian_cholesky", {.family = DensityFamily::gaussian_cholesky, .dimensions = 2}},
      {"mixture", {.family = DensityFamily::mixture, .components = 3}},
      {"mixture_of_two_dimensions",
       {.family = DensityFamily::mixture, .dimensions = 2, .components = 2}},
      {"exponential_on_a_finite_support",
       {.family = DensityFamily::exponential,
        .support = Support::finite({-1, -0.5, 0, 0.25, 1}, 2, powers(2))}},
      {"exponential_on_an_interval",
       {.family = DensityFamily::exponential,
        .support = Support::on_interval(-1, 1.5, 20, 3, powers(3))}},
  };
}

/// Those whose Fisher matrix is at hand.
inline std::vector<DensityCase> exact_density_cases() {
  std::vector<DensityCase> cases = density_cases();
  std::erase_if(cases,
                [](const DensityCase& c) { return c.is_mixture() && c.options.dimensions > 1; });
  return cases;
}

/// A density of a case on the device under test, and what is read back of it.
class CaseDensity {
 public:
  explicit CaseDensity(const DensityCase& of)
      : of_(of),
        context_(test_context()),
        density_(context_, of.options),
        result_(context_.array({1, 1}, ElementType::float64)) {}

  Density& density() { return density_; }
  const Context& context() const { return context_; }
  std::size_t parameters() const { return static_cast<std::size_t>(density_.parameters().size()); }

  Array upload(const Numbers& numbers, std::int64_t columns) const {
    Array array = context_.array({static_cast<std::int64_t>(numbers.size()) / columns, columns},
                                 ElementType::float64);
    context_.write(numbers.data(), array);
    return array;
  }

  Numbers log_p(const Numbers& theta, const Numbers& x) {
    density_.write(theta);
    const Array samples = upload(x, density_.columns());
    const Array log_p = context_.array({samples.view().rows(), 1}, ElementType::float64);
    density_.log_likelihood(samples, log_p);
    return host_copy<double>(context_, log_p);
  }

  Table scores(const Numbers& theta, const Numbers& x) {
    density_.write(theta);
    const Array samples = upload(x, density_.columns());
    density_.compute(samples);
    Table table(static_cast<std::size_t>(samples.view().rows()), parameters());
    table.elements = host_copy<double>(context_, density_.rows());
    return table;
  }

  /// sum of weight p(x | theta) f(x), f the scores at `at`: of a grid an expectation.
  Numbers mean_score(const Numbers& theta, const Numbers& at) {
    const DensityCase::Grid grid = of_.grid();
    const Numbers p = masses(theta, grid);
    const Table s = scores(at, grid.x);
    Numbers mean(parameters(), 0.0);
    for (std::size_t n = 0; n < s.rows; ++n) {
      for (std::size_t j = 0; j < s.columns; ++j) mean[j] += p[n] * s(n, j);
    }
    return mean;
  }

  /// E[s s^T] over the grid.
  Table grid_fisher(const Numbers& theta) {
    const DensityCase::Grid grid = of_.grid();
    return transposed_gram(weighted(scores(theta, grid.x), masses(theta, grid)));
  }

  double grid_kl(const Numbers& theta, const Numbers& other) {
    const DensityCase::Grid grid = of_.grid();
    const Numbers p = masses(theta, grid);
    const Numbers a = log_p(theta, grid.x);
    const Numbers b = log_p(other, grid.x);
    double sum = 0;
    for (std::size_t n = 0; n < p.size(); ++n) sum += p[n] * (a[n] - b[n]);
    return sum;
  }

  /// The mass of every point of a grid.
  Numbers masses(const Numbers& theta, const DensityCase::Grid& grid) {
    Numbers p = log_p(theta, grid.x);
    for (std::size_t n = 0; n < p.size(); ++n) p[n] = grid.weights[n] * std::exp(p[n]);
    return p;
  }

  double kl(const Numbers& theta, const Numbers& other) {
    const Array at = upload(theta, 1);
    const Array to = upload(other, 1);
    density_.kl(at, to, result_);
    return host_copy<double>(context_, result_)[0];
  }

  /// The matrix of the exact rows, as a step sees them.
  Table exact_fisher(const Numbers& theta) {
    density_.write(theta);
    density_.compute_exact();
    DenseScores rows(density_.parameters(), {.kind = FisherKind::exact});
    density_.add_exact_to(rows);
    FisherMatrix matrix(density_.parameters(), {.form = Form::primal});
    matrix.accumulate(rows);
    const Array dense = context_.array({density_.parameters().size(), density_.parameters().size()},
                                       ElementType::float64);
    matrix.to_dense(dense);
    Table F(parameters(), parameters());
    F.elements = host_copy<double>(context_, dense);
    return F;
  }

  static Table transposed_gram(const Table& S) { return gram(transposed(S)); }

 private:
  const DensityCase& of_;
  Context context_;
  Density density_;
  Array result_;
};

}  // namespace natgrad::tests
