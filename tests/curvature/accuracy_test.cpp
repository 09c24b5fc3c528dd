#include "natgrad/natgrad.hpp"
#include "support/device.hpp"
#include "support/exact_direction.hpp"
#include "support/layered_batch.hpp"
#include "support/plain.hpp"
#include "support/row_families.hpp"
#include "support/sanitized.hpp"
#include "support/tolerance.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <optional>
#include <utility>
#include <vector>

// Directions in float against the exact ones of the same float rows, where lambda is small.

namespace natgrad::tests {

namespace {

/// The arithmetic is the CPU's also on the emulated device, which takes ten times as long for it.
bool fewer_cases() { return sanitized || test_device().kind == DeviceKind::cuda; }

constexpr std::array families{Family::random, Family::decaying, Family::common_mean};

enum class Right { coefficients, gradient };  // r known, or a general g
constexpr std::array rights{Right::coefficients, Right::gradient};

struct Solved {
  Numbers direction;
  SolveReport report;
};

/// Float rows with random coefficients, and a random gradient.
struct Problem {
  Tensor<float> theta;
  Tensor<float> rows;
  Tensor<float> coefficients;
  Tensor<float> gradient;
  Parameters parameters{test_context()};
  Table S;
  double largest = 0;  // eigenvalue of F

  Problem(Family family, std::size_t n, std::size_t p, std::uint64_t seed) {
    Random random(seed);
    const Table scores = family_rows(family, n, p, random);
    theta = Tensor<float>(Numbers(p, 0.0));
    rows = Tensor<float>(scores);
    coefficients = Tensor<float>(random.numbers(n));
    gradient = Tensor<float>(random.numbers(p));
    parameters.add(theta.view());
    S = weighted(scores, weights());
    largest = largest_eigenvalue(S, random);
  }
  Problem(const Problem&) = delete;
  Problem& operator=(const Problem&) = delete;

  Numbers weights() const {
    const std::size_t n = coefficients.memory().size();
    return Numbers(n, 1.0 / static_cast<double>(n));
  }
  DenseScores scores() {
    DenseScores scores(parameters);
    scores.begin(rows.view(), {.coefficients = coefficients.view()});
    return scores;
  }
  Solved solve(Right right, const FisherMatrix::Options& options) {
    FisherMatrix fisher(parameters, options);
    fisher.accumulate(scores());
    Tensor<float> direction = zeros<float>(fisher.size());
    if (right == Right::gradient) {
      fisher.solve(Gradient{.view = gradient.view()}, direction.view());
    } else {
      fisher.solve(Coefficients{}, direction.view());
    }
    return {direction.numbers(), fisher.report()};
  }
  Numbers exact(Right right, double lambda) const {
    const ExactDirection exact(S);
    const Numbers g = gradient.numbers();
    if (right == Right::gradient) return exact.solve({g.begin(), g.end()}, lambda);
    return exact.solve_rows(right_hand_side(weights(), coefficients.numbers()), lambda);
  }
};

/// At 1e-6 of the largest eigenvalue: at most three refinements, a Gram matrix in double, or the
/// primal form bring d to 1e-4. The printed table is that of docs/accuracy.md.
void check_family(Family family, std::size_t n, std::size_t p, Right right) {
  const bool general = right == Right::gradient;
  SCOPED_TRACE(testing::Message() << n << " x " << p << ", " << name_of(family));
  Problem problem(family, n, p, 1);
  const double lambda = 1e-6 * problem.largest;
  const Numbers exact = problem.exact(right, lambda);
  FisherMatrix::Options options{.form = Form::dual, .damping = {.absolute = lambda}};
  const auto error_of = [&](const char* what) {
    const Solved solved = problem.solve(right, options);
    EXPECT_EQ(solved.report.outcome, Outcome::accepted);
    EXPECT_EQ(solved.report.form, options.form);
    const double error = relative_error(solved.direction, exact);
    EXPECT_TRUE(error <= 2 * solved.report.error_bound) << what;
    std::printf("  %s %.0e", what, error);
    return error;
  };
  std::printf("%3zu x %4zu, %-32s, %s:", n, p, name_of(family),
              general ? "general g   " : "push-through");
  const double unrefined = error_of("unrefined");
  double refined = 1;
  for (options.refinement = 1; options.refinement <= 3; ++options.refinement) {
    refined = error_of("refined");
  }
  EXPECT_TRUE(refined < 1e-4) << refined;
  // With more rows than parameters K is singular, and refinement slower.
  EXPECT_TRUE(n < p || refined < 0.01 * unrefined) << refined;
  options.refinement = 0;
  options.gram_type = ElementType::float64;
  EXPECT_TRUE(error_of("K in double") < 1e-4);
  options.form = Form::primal;
  EXPECT_TRUE(error_of("primal") < 1e-4);
  std::printf("\n");
}

TEST(accuracy, three_refinements_or_a_gram_in_double_are_enough) {
  for (const auto& [n, p] :
       std::vector<std::pair<std::size_t, std::size_t>>{{64, 400}, {512, 2000}, {300, 100}}) {
    if (fewer_cases() && n > 300) continue;
    for (Family family : families) {
      for (Right right : rights) check_family(family, n, p, right);
    }
  }
}

TEST(accuracy, the_optimizer_refines_its_directions) {
  for (Family family : families) {
    for (Right right : rights) {
      SCOPED_TRACE(name_of(family));
      Problem problem(family, 64, 400, 2);
      const double lambda = 1e-6 * problem.largest;
      const Numbers exact = problem.exact(right, lambda);
      const DenseScores scores = problem.scores();
      Batch batch{.fisher = scores};
      if (right == Right::gradient) batch.gradient = Gradient{problem.gradient.view()};
      const auto error_of = [&](std::optional<ElementType> gram, int refinement) {
        NaturalGradient optimizer(problem.parameters, {.damping = {.absolute = lambda},
                                                       .form = Form::dual,
                                                       .gram_type = gram,
                                                       .refinement = refinement});
        Tensor<float> direction = zeros<float>(400);
        optimizer.direction(batch, direction.view());
        const SolveReport report = optimizer.direction_report();
        EXPECT_EQ(report.outcome, Outcome::accepted);
        EXPECT_EQ(report.form, Form::dual);
        const double error = relative_error(direction.numbers(), exact);
        EXPECT_TRUE(error <= 2 * report.error_bound);
        return error;
      };
      EXPECT_TRUE(error_of({}, 3) < 1e-4);
      EXPECT_TRUE(error_of(ElementType::float64, 0) < 1e-4);
      if (family == Family::random) continue;
      EXPECT_TRUE(error_of({}, 0) > 1e-4) << "nothing to refine";
    }
  }
}

/// On a device without TF32 as elsewhere, but for a bound that is larger there.
TEST(accuracy, tf32_errs_within_its_bound_and_is_refined) {
  for (Family family : families) {
    for (Right right : rights) {
      SCOPED_TRACE(name_of(family));
      Problem problem(family, 64, 400, 3);
      const double lambda = 1e-2 * problem.largest;
      const Numbers exact = problem.exact(right, lambda);
      FisherMatrix::Options options{
          .form = Form::dual, .damping = {.absolute = lambda}, .allow_tf32 = true};
      for (options.refinement = 0; options.refinement <= 4; options.refinement += 4) {
        const Solved solved = problem.solve(right, options);
        EXPECT_EQ(solved.report.outcome, Outcome::accepted);
        const double error = relative_error(solved.direction, exact);
        EXPECT_TRUE(error <= solved.report.error_bound)
            << error << ", " << solved.report.error_bound;
        if (options.refinement > 0) {
          EXPECT_TRUE(error <= 1e-5) << error;
        }
      }
    }
  }
}

/// What lies in the middle of some numbers.
double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2),
                   values.end());
  return values[values.size() / 2];
}

/// Fewer rows than parameters, and a lambda far below the smallest eigenvalue of K, which the
/// lengths of the solution tell and the shift does not.
TEST(accuracy, bounds_of_well_conditioned_wide_models_are_within_1000_of_the_error) {
  for (const auto& [n, p] :
       std::vector<std::pair<std::size_t, std::size_t>>{{32, 1000}, {64, 2000}, {100, 800}}) {
    for (double fraction : {1e-3, 1e-4, 1e-5, 3e-6}) {
      for (Right right : rights) {
        Problem problem(Family::random, n, p, 40 + n);
        const double lambda = fraction * problem.largest;
        const Solved solved =
            problem.solve(right, {.form = Form::dual, .damping = {.absolute = lambda}});
        const double error = relative_error(solved.direction, problem.exact(right, lambda));
        const double bound = solved.report.error_bound;
        SCOPED_TRACE(testing::Message() << n << " x " << p << ", lambda " << fraction);
        EXPECT_EQ(solved.report.outcome, Outcome::accepted);
        EXPECT_LE(error, bound);
        EXPECT_LE(bound, 1e3 * error);
        std::printf("%3zu x %4zu, lambda %.0e, %s: error %.1e, bound / error %.2g\n", n, p,
                    fraction, right == Right::gradient ? "general g" : "push-through", error,
                    bound / error);
      }
    }
  }
}

/// The second step of SPRING starts from mu times the first, m: d = m + S^T y of r - S m.
TEST(accuracy, bounds_hold_for_steps_that_start_from_another) {
  constexpr std::size_t n = 64;
  constexpr std::size_t p = 400;
  for (Family family : families) {
    for (double fraction : {1e-2, 1e-4, 1e-6}) {
      SCOPED_TRACE(testing::Message() << name_of(family) << ", lambda " << fraction);
      Problem problem(family, n, p, 50);
      const double lambda = fraction * problem.largest;
      constexpr double decay = 0.5;
      NaturalGradient optimizer(problem.parameters, {.damping = {.absolute = lambda},
                                                     .step = FixedRate{1},
                                                     .momentum = Spring{decay},
                                                     .form = Form::dual});
      for (std::size_t i = 0; i < p; ++i) problem.theta(i) = 0;
      optimizer.step(problem.scores());
      const Numbers first = problem.theta.numbers();
      Random random(51);
      for (std::size_t i = 0; i < n; ++i) problem.coefficients(i) = static_cast<float>(random());
      optimizer.step(problem.scores());
      const StepReport report = optimizer.report();
      EXPECT_EQ(report.outcome, Outcome::accepted);

      Numbers start = first;
      for (double& number : start) number *= decay;
      Numbers r = right_hand_side(problem.weights(), problem.coefficients.numbers());
      const Numbers of_start = multiply(problem.S, start);
      for (std::size_t i = 0; i < n; ++i) r[i] -= of_start[i];
      Numbers exact = ExactDirection(problem.S).solve_rows(r, lambda);
      Numbers moved = problem.theta.numbers();
      for (std::size_t i = 0; i < p; ++i) {
        exact[i] += start[i];
        moved[i] -= first[i];
      }
      // theta itself is rounded to float.
      const double rounding = 1e-7 * std::sqrt(dot(first, first) / dot(exact, exact)) + 1e-7;
      EXPECT_LE(relative_error(moved, exact), report.error_bound + rounding);
    }
  }
}

TEST(accuracy, error_bounds_hold_in_random_cases) {
  const std::size_t cases = sanitized ? 12 : fewer_cases() ? 60 : 200;
  Random random(7);
  const auto between = [&](double least, double most) {
    return least * std::pow(most / least, 0.5 + 0.5 * random());
  };
  const auto size_between = [&](double least, double most) {
    return static_cast<std::size_t>(std::lround(between(least, most)));
  };
  std::size_t refused = 0;
  // Bound over error, by form, right-hand side and number of refinements.
  std::array<std::array<std::array<std::vector<double>, 4>, 2>, 2> slack;
  for (std::size_t i = 0; i < cases; ++i) {
    const Family family = families[i % 3];
    const bool primal = i / 3 % 2 == 1;
    const Right right = rights[i / 6 % 2];
    const std::size_t n = size_between(16, 512);
    const std::size_t p = size_between(50, 2000);
    const double fraction = between(1e-7, 1e-2);
    SCOPED_TRACE(testing::Message() << "case " << i << ": " << n << " x " << p << ", "
                                    << name_of(family) << ", lambda " << fraction);
    Problem problem(family, n, p, 100 + i);
    const double lambda = fraction * problem.largest;
    const Numbers exact = problem.exact(right, lambda);
    for (int refinement = 0; refinement <= (primal ? 0 : 3); ++refinement) {
      const Solved solved = problem.solve(right, {.form = primal ? Form::primal : Form::dual,
                                                  .damping = {.absolute = lambda},
                                                  .refinement = refinement});
      if (solved.report.outcome != Outcome::accepted) {
        // Of more rows than parameters K is singular, and lambda at the rounding of float may not
        // carry it.
        EXPECT_GT(n, p);
        EXPECT_GT(solved.report.residual, 0.5);
        ++refused;
        continue;
      }
      const double error = relative_error(solved.direction, exact);
      const double bound = solved.report.error_bound;
      // An estimate without refinement; with it, a bound.
      EXPECT_TRUE(error <= (refinement == 0 ? 2 : 1) * bound)
          << to_string(solved.report.form) << ", " << refinement << " refinements: error " << error
          << ", bound " << bound;
      slack[primal][i / 6 % 2][static_cast<std::size_t>(refinement)].push_back(bound / error);
    }
  }
  EXPECT_LE(refused, 1 + cases / 50);
  for (std::size_t primal = 0; primal < 2; ++primal) {
    for (std::size_t right = 0; right < 2; ++right) {
      for (std::size_t refinement = 0; refinement < (primal ? 1 : 4); ++refinement) {
        const auto& factors = slack[primal][right][refinement];
        const double middle = median(factors);
        std::printf("%s, %s, %zu refinements: bound / error %.2g to %.2g, median %.2g\n",
                    primal ? "primal" : "dual", right ? "general g" : "push-through", refinement,
                    *std::min_element(factors.begin(), factors.end()),
                    *std::max_element(factors.begin(), factors.end()), middle);
        if (sanitized) continue;  // of so few a median says little
        const double most = refinement > 0 || primal ? 10 : 1000;
        EXPECT_TRUE(middle <= most) << "a bound that says nothing";
      }
    }
  }
}

}  // namespace

}  // namespace natgrad::tests
