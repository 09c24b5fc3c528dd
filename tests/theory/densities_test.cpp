#include "theory/densities.hpp"

#include "support/sanitized.hpp"
#include "support/tolerance.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

// Rows 1 to 5 of the table in docs/architecture.md for densities without inputs. Expectations are
// sums over a grid that knows nothing of the library's quadrature.

namespace natgrad::tests {

namespace {

constexpr std::uint64_t random_parameters = sanitized ? 2 : 4;

/// body(case, density, theta).
template <class Body>
void for_parameters(const std::vector<DensityCase>& cases, const Body& body) {
  for (const DensityCase& of : cases) {
    SCOPED_TRACE(of.name);
    CaseDensity density(of);
    // A grid in two dimensions has many points.
    const std::uint64_t count = of.options.dimensions == 1 ? random_parameters : 1;
    for (std::uint64_t number = 0; number < count; ++number) {
      SCOPED_TRACE(number);
      body(of, density, of.theta(number));
    }
  }
}

double largest_of(const Table& F) {
  double largest = 0;
  for (const double element : F.elements) largest = std::fmax(largest, std::abs(element));
  return largest;
}

void expect_near(const Table& actual, const Table& expected, double relative) {
  ASSERT_EQ(actual.elements.size(), expected.elements.size());
  const double bound = relative * largest_of(expected);
  for (std::size_t i = 0; i < actual.elements.size(); ++i) {
    EXPECT_TRUE(within(actual.elements[i], expected.elements[i], bound)) << "element " << i;
  }
}

TEST(theory, density_is_normalized_and_its_mean_score_is_zero) {
  for_parameters(density_cases(),
                 [](const DensityCase& of, CaseDensity& density, const Numbers& theta) {
                   double mass = 0;
                   for (const double p : density.masses(theta, of.grid())) mass += p;
                   EXPECT_TRUE(within(mass, 1, 1e-10));
                   for (const double mean : density.mean_score(theta, theta)) {
                     EXPECT_TRUE(within(mean, 0, 1e-9));
                   }
                 });
}

/// (1/2) tr(C^-1 dC_i C^-1 dC_j) + dm_i^T C^-1 dm_j for a Gaussian of mean m and covariance C in
/// two dimensions (Kay 1993, equation 3.31): theta = (m, log L_11, log L_22, L_21).
Table fisher_of_two_dimensions(const Numbers& theta) {
  const double l11 = std::exp(theta[2]);
  const double l22 = std::exp(theta[3]);
  const double l21 = theta[4];
  const double c11 = l11 * l11;
  const double c12 = l11 * l21;
  const double c22 = l21 * l21 + l22 * l22;
  const double determinant = c11 * c22 - c12 * c12;
  Table inverse(2, 2);
  inverse.elements = {c22 / determinant, -c12 / determinant, -c12 / determinant, c11 / determinant};
  const auto product = [](const Table& A, const Table& B) {
    Table C(2, 2);
    for (std::size_t i = 0; i < 2; ++i) {
      for (std::size_t j = 0; j < 2; ++j) C(i, j) = A(i, 0) * B(0, j) + A(i, 1) * B(1, j);
    }
    return C;
  };
  std::vector<Table> derivatives(3, Table(2, 2));
  derivatives[0].elements = {2 * c11, c12, c12, 0};
  derivatives[1].elements = {0, 0, 0, 2 * l22 * l22};
  derivatives[2].elements = {0, l11, l11, 2 * l21};
  Table F(5, 5);
  for (std::size_t i = 0; i < 2; ++i) {
    for (std::size_t j = 0; j < 2; ++j) F(i, j) = inverse(i, j);
  }
  for (std::size_t i = 0; i < 3; ++i) {
    for (std::size_t j = 0; j < 3; ++j) {
      F(2 + i, 2 + j) =
          trace(product(product(inverse, derivatives[i]), product(inverse, derivatives[j]))) / 2;
    }
  }
  return F;
}

/// The covariance of the statistics.
Table covariance(const Numbers& p, const Numbers& t, std::size_t count) {
  Numbers mean(count, 0.0);
  for (std::size_t n = 0; n < p.size(); ++n) {
    for (std::size_t i = 0; i < count; ++i) mean[i] += p[n] * t[n * count + i];
  }
  Table F(count, count);
  for (std::size_t n = 0; n < p.size(); ++n) {
    for (std::size_t i = 0; i < count; ++i) {
      for (std::size_t j = 0; j < count; ++j) {
        F(i, j) += p[n] * (t[n * count + i] - mean[i]) * (t[n * count + j] - mean[j]);
      }
    }
  }
  return F;
}

/// F by what is known of the family; where nothing is, by the grid.
Table analytic_fisher(const DensityCase& of, CaseDensity& density, const Numbers& theta) {
  Table F(theta.size(), theta.size());
  switch (of.options.family) {
    case DensityFamily::gaussian_scale:
      F.elements = {1 / (theta[1] * theta[1]), 0, 0, 2 / (theta[1] * theta[1])};
      return F;
    case DensityFamily::gaussian_log_scale:
      F.elements = {std::exp(-2 * theta[1]), 0, 0, 2};
      return F;
    case DensityFamily::gaussian_natural: {
      // The Hessian of A = -eta1^2 / (4 eta2) - log(-2 eta2) / 2.
      const double a = theta[0];
      const double b = theta[1];
      F.elements = {-1 / (2 * b), a / (2 * b * b), a / (2 * b * b),
                    -a * a / (2 * b * b * b) + 1 / (2 * b * b)};
      return F;
    }
    case DensityFamily::gaussian_cholesky:
      return fisher_of_two_dimensions(theta);
    case DensityFamily::exponential: {
      const DensityCase::Grid grid = of.grid();
      return covariance(density.masses(theta, grid), grid.x, theta.size());
    }
    case DensityFamily::mixture:
      break;
  }
  return density.grid_fisher(theta);
}

TEST(theory, density_exact_rows_are_the_analytic_fisher) {
  for_parameters(exact_density_cases(),
                 [](const DensityCase& of, CaseDensity& density, const Numbers& theta) {
                   const Table F = density.exact_fisher(theta);
                   expect_near(F, analytic_fisher(of, density, theta), 1e-12);
                   expect_near(density.grid_fisher(theta), F, 1e-8);
                 });
}

/// Damping 0: the step of the exact rows beside the mean score solves F d = g.
TEST(theory, density_direction_of_exact_rows_and_mean_score_is_natural) {
  for_parameters(
      exact_density_cases(), [](const DensityCase&, CaseDensity& density, const Numbers& theta) {
        const Table F = density.exact_fisher(theta);
        Density& model = density.density();
        model.compute(model.sample(20));
        const Array gradient = density.upload(Numbers(theta.size(), 0.0), 1);
        const Array direction = density.upload(Numbers(theta.size(), 0.0), 1);
        model.gradient(gradient);
        DenseScores rows(model.parameters(), {.kind = FisherKind::exact});
        model.add_exact_to(rows);
        NaturalGradient optimizer(model.parameters(), {.damping = {.absolute = 0}});
        optimizer.direction(Batch{.fisher = rows, .gradient = Gradient{gradient}}, direction);
        EXPECT_EQ(optimizer.direction_report().outcome, Outcome::accepted);
        const Numbers g = host_copy<double>(density.context(), gradient);
        const Numbers d = host_copy<double>(density.context(), direction);
        EXPECT_TRUE(relative_error_within(d, solve(F, 0, g), 1e-9));
      });
}

/// Row 2 where there is only sampling: S^T S of drawn samples is F within five standard errors.
TEST(theory, density_sampled_rows_have_the_fisher_as_their_mean) {
  constexpr std::int64_t draws = sanitized ? 1000 : 10000;
  for_parameters(
      density_cases(), [](const DensityCase& of, CaseDensity& density, const Numbers& theta) {
        const Table F = density.grid_fisher(theta);
        const DensityCase::Grid grid = of.grid();
        const Numbers p = density.masses(theta, grid);
        const Table s = density.scores(theta, grid.x);
        Density& model = density.density();
        model.compute(model.sample(draws));
        const Numbers drawn = host_copy<double>(density.context(), model.rows());
        const std::size_t P = theta.size();
        for (std::size_t i = 0; i < P; ++i) {
          for (std::size_t j = 0; j < P; ++j) {
            double square = 0;
            for (std::size_t n = 0; n < p.size(); ++n)
              square += p[n] * std::pow(s(n, i) * s(n, j), 2);
            double mean = 0;
            for (std::size_t n = 0; n < draws; ++n) mean += drawn[n * P + i] * drawn[n * P + j];
            const double deviation = std::sqrt((square - F(i, j) * F(i, j)) / draws);
            EXPECT_TRUE(within(mean / draws, F(i, j), 5 * deviation + 1e-9)) << i << ' ' << j;
          }
        }
      });
}

TEST(theory, density_empirical_fisher_in_parts_is_the_whole_and_weights_repeat_samples) {
  for_parameters(
      density_cases(), [](const DensityCase&, CaseDensity& density, const Numbers& theta) {
        density.density().write(theta);
        Density& model = density.density();
        const auto columns = static_cast<std::size_t>(model.columns());
        const Numbers x = host_copy<double>(density.context(), model.sample(12));
        const auto samples = [&](std::initializer_list<std::size_t> which) {
          Numbers chosen;
          for (const std::size_t n : which) {
            chosen.insert(chosen.end(), x.begin() + static_cast<std::ptrdiff_t>(n * columns),
                          x.begin() + static_cast<std::ptrdiff_t>((n + 1) * columns));
          }
          return density.upload(chosen, model.columns());
        };
        const auto dense = [&](const FisherMatrix& matrix) {
          const auto P = static_cast<std::int64_t>(theta.size());
          const Array to = density.context().array({P, P}, ElementType::float64);
          matrix.to_dense(to);
          Table F(theta.size(), theta.size());
          F.elements = host_copy<double>(density.context(), to);
          return F;
        };
        DenseScores scores(model.parameters());
        FisherMatrix whole(model.parameters(), {.form = Form::primal});
        FisherMatrix parts(model.parameters(), {.form = Form::primal});
        FisherMatrix weighted(model.parameters(), {.form = Form::primal});
        model.compute(samples({0, 1, 1, 2, 2, 2}));
        model.add_to(scores);
        whole.accumulate(scores);
        model.compute(samples({0, 1}));
        model.add_to(scores, {.batch_samples = 6});
        parts.accumulate(scores);
        model.compute(samples({1, 2, 2, 2}));
        model.add_to(scores, {.batch_samples = 6});
        parts.accumulate(scores);
        const Array weights = density.upload({1.0 / 6, 2.0 / 6, 3.0 / 6}, 1);
        model.compute(samples({0, 1, 2}));
        model.add_to(scores, {.weights = weights});
        weighted.accumulate(scores);
        const Table F = dense(whole);
        expect_near(dense(parts), F, 1e-13);
        expect_near(dense(weighted), F, 1e-13);
      });
}

TEST(theory, density_mean_hessian_is_minus_the_fisher) {
  for_parameters(density_cases(),
                 [](const DensityCase&, CaseDensity& density, const Numbers& theta) {
                   const Table F = density.grid_fisher(theta);
                   constexpr double h = 1e-3;
                   Table hessian(theta.size(), theta.size());
                   for (std::size_t j = 0; j < theta.size(); ++j) {
                     const auto at = [&](double step) {
                       Numbers moved = theta;
                       moved[j] += step;
                       return density.mean_score(theta, moved);
                     };
                     const Numbers near = sum(-1, at(-h), at(h));
                     const Numbers far = sum(-1, at(-2 * h), at(2 * h));
                     for (std::size_t i = 0; i < theta.size(); ++i) {
                       hessian(i, j) = -(8 * near[i] - far[i]) / (12 * h);
                     }
                   }
                   expect_near(hessian, F, 1e-8);
                 });
}

/// Where KL has neither closed form nor quadrature it is a mean over draws: within four standard
/// errors of the grid's.
void expect_sampled_kl(const DensityCase& of, CaseDensity& density, const Numbers& theta,
                       const Numbers& other) {
  const DensityCase::Grid grid = of.grid();
  const Numbers p = density.masses(theta, grid);
  const Numbers a = density.log_p(theta, grid.x);
  const Numbers b = density.log_p(other, grid.x);
  const double kl = density.grid_kl(theta, other);
  double square = 0;
  for (std::size_t n = 0; n < p.size(); ++n) square += p[n] * (a[n] - b[n]) * (a[n] - b[n]);
  const double error = std::sqrt((square - kl * kl) / static_cast<double>(of.options.kl_draws));
  EXPECT_TRUE(within(density.kl(theta, other), kl, 4 * error));
}

TEST(theory, density_kl_is_half_of_the_squared_fisher_norm) {
  for_parameters(density_cases(), [](const DensityCase& of, CaseDensity& density,
                                     const Numbers& theta) {
    const Table F = density.grid_fisher(theta);
    Random random(23);
    const Numbers direction = random.numbers(theta.size());
    const double norm = std::sqrt(dot(direction, multiply(F, direction)));
    const auto moved = [&](double size) { return sum(size / norm, direction, theta); };
    EXPECT_TRUE(within(density.grid_kl(theta, theta), 0, 1e-15));
    if (!density.density().has_exact()) return expect_sampled_kl(of, density, theta, moved(0.3));
    EXPECT_TRUE(within(density.kl(theta, theta), 0, 1e-15));
    EXPECT_TRUE(within(density.kl(theta, moved(0.3)), density.grid_kl(theta, moved(0.3)), 1e-10));
    const auto error = [&](double size) {
      return std::abs(density.kl(theta, moved(size)) - size * size / 2);
    };
    // Of the third order: halving d divides it by 8, by 16 where the third derivative vanishes.
    const double rounding = 1e-12;
    EXPECT_TRUE(error(0.02) >= 7 * error(0.01) || error(0.02) <= rounding)
        << error(0.02) << ' ' << error(0.01);
  });
}

}  // namespace

}  // namespace natgrad::tests
