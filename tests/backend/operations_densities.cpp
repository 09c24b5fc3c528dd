#include "kernels/formulas/densities/scalars.hpp"
#include "support/operation_table.hpp"
#include "support/reference_density.hpp"
#include "support/tolerance.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

// Densities: the same cases for every family, with the definitions and values of
// tests/backend/densities.

namespace natgrad::tests {

namespace {

constexpr ElementType float64 = ElementType::float64;
constexpr double nan = std::numeric_limits<double>::quiet_NaN();
constexpr double infinity = std::numeric_limits<double>::infinity();

/// A density as a trial has it: theta, constants and what is prepared of them.
struct Subject {
  DensityFamily family;
  DensityShape shape;
  std::vector<double> theta_numbers;
  Operand theta, constants, prepared;

  Subject(Trial& trial, DensityFamily family, const DensityShape& shape,
          const std::vector<double>& numbers)
      : family(family), shape(shape), theta_numbers(numbers) {
    const formulas::DensitySizes sizes = formulas::sizes_of(family, shape);
    theta = trial.vector(float64, Use::input, numbers);
    if (sizes.constants > 0) {
      constants = trial.vector(float64, Use::input, reference_density(family).constants(shape));
    }
    prepared = trial.vector(sizes.prepared, float64, Use::output);
  }

  /// Prepares, then says where.
  DensityAt at(Backend& backend, const Side& of) const {
    const View theta_view = of(theta);
    // Absolute values may lie outside of the domain; only the results are compared.
    if (of.place() == Side::magnitude) backend.upload(theta_numbers.data(), theta_view);
    const DensityAt at{.shape = shape,
                       .constants = constants.index < 0 ? nullptr : of(constants).as<double>(),
                       .theta = theta_view.as<double>(),
                       .prepared = of(prepared).as<double>()};
    backend.evaluate(formulas::PrepareDensity{.family = family,
                                              .shape = shape,
                                              .constants = at.constants,
                                              .theta = at.theta,
                                              .prepared = of(prepared).as<double>()});
    return at;
  }
};

/// body(trial, subject, x, type) for samples of every shape, some with padded rows.
template <class Body>
void for_samples(TestDevice& device, DensityFamily family, ElementType type, const Body& body) {
  const ReferenceDensity& reference = reference_density(family);
  for (const DensityShape& shape : reference.shapes()) {
    for (std::int64_t samples : {0, 1, 13, 301}) {
      SCOPED_TRACE(std::to_string(samples) + " samples of " + std::to_string(shape.dimensions));
      Trial trial(device, samples == 13 ? 3 : 0);
      const Subject subject(trial, family, shape, reference.theta(shape));
      const Operand x = trial.matrix(samples, shape.dimensions, type, Use::input);
      std::vector<double> numbers = trial.given(x);
      for (double& number : numbers) number *= 3;
      trial.set(x, numbers);
      body(trial, subject, x);
    }
  }
}

/// Of numbers up to some hundreds.
double value_bound(ElementType type) { return 1e-11 + rounding_bound(16, type, 500); }

void add_log_p(OperationTable& table, DensityFamily family, const std::string& name) {
  table.add_types("density_log_p", name, [=](TestDevice& device, ElementType type) {
    for_samples(device, family, type, [&](Trial& trial, const Subject& subject, Operand x) {
      const auto samples =
          static_cast<std::int64_t>(trial.given(x).size()) / subject.shape.dimensions;
      const Operand log_p = trial.vector(samples, float64, Use::output);
      trial.run([&](Backend& backend, const Side& of) {
        backend.density_log_p(family, subject.at(backend, of), of(x), of(log_p));
      });
      trial.expect_within(log_p, value_bound(float64));
    });
  });
}

void add_score(OperationTable& table, DensityFamily family, const std::string& name) {
  for (const bool weighted : {false, true}) {
    table.add_types(
        "density_score", name + (weighted ? "_weighted" : ""),
        [=](TestDevice& device, ElementType type) {
          for_samples(device, family, type, [&](Trial& trial, const Subject& subject, Operand x) {
            const std::int64_t parameters = formulas::sizes_of(family, subject.shape).parameters;
            const auto samples =
                static_cast<std::int64_t>(trial.given(x).size()) / subject.shape.dimensions;
            Operand weights;
            if (weighted) {
              std::vector<double> numbers = random_elements(samples, 5);
              for (double& number : numbers) number = number < -0.5 ? 0 : std::abs(number);
              weights = trial.vector(float64, Use::input, numbers);
            }
            const Operand score = trial.matrix(samples, parameters, type, Use::output);
            trial.run([&](Backend& backend, const Side& of) {
              backend.density_score(family, subject.at(backend, of), of(x),
                                    weighted ? ConstView(of(weights)) : ConstView(), of(score));
            });
            trial.expect_within(score, value_bound(type));
          });
        });
  }
}

void add_sample(OperationTable& table, DensityFamily family, const std::string& name) {
  table.add_types("density_sample", name, [=](TestDevice& device, ElementType type) {
    // The last wraps: counters of more than 32 bits begin again.
    for (double drawing : {0.0, 4294967295.0, 4294967296.0}) {
      for_samples(device, family, type, [&](Trial& trial, const Subject& subject, Operand given) {
        const auto samples =
            static_cast<std::int64_t>(trial.given(given).size()) / subject.shape.dimensions;
        const Operand counter = trial.vector(float64, Use::both, {drawing});
        const Operand x = trial.matrix(samples, subject.shape.dimensions, type, Use::output);
        trial.run([&](Backend& backend, const Side& of) {
          backend.density_sample(family, subject.at(backend, of), 0x123456789abcdef0, of(counter),
                                 of(x));
        });
        trial.expect_within(x, rounding_bound(16, type, 30));
        trial.expect_equal(counter);
      });
    }
  });
}

/// A sample that is not finite, or theta outside of its domain: NaN there, and nowhere else.
void add_outside(OperationTable& table, DensityFamily family, const std::string& name) {
  table.add_types("density_score", name + "_outside", [=](TestDevice& device, ElementType type) {
    const ReferenceDensity& reference = reference_density(family);
    const DensityShape shape = reference.shapes().front();
    std::vector<std::vector<double>> thetas = {reference.theta(shape)};
    if (!reference.outside().empty()) thetas.push_back(reference.outside());
    for (const std::vector<double>& theta : thetas) {
      for (double bad : {nan, infinity, -infinity}) {
        Trial trial(device);
        const Subject subject(trial, family, shape, theta);
        const std::int64_t parameters = formulas::sizes_of(family, shape).parameters;
        const Operand x = trial.matrix(3, shape.dimensions, type, Use::input);
        std::vector<double> numbers = trial.given(x);
        numbers[static_cast<std::size_t>(shape.dimensions)] = bad;
        trial.set(x, numbers);
        const Operand log_p = trial.vector(3, float64, Use::output);
        const Operand score = trial.matrix(3, parameters, type, Use::output);
        trial.run([&](Backend& backend, const Side& of) {
          const DensityAt at = subject.at(backend, of);
          backend.density_log_p(family, at, of(x), of(log_p));
          backend.density_score(family, at, of(x), {}, of(score));
        });
        const bool inside = &theta == &thetas.front();
        for (std::size_t n = 0; n < 3; ++n) {
          const bool is_nan = !inside || n == 1;
          EXPECT_EQ(std::isnan(trial.actual(log_p)[n]), is_nan) << name << n;
          double sum = 0;
          for (std::int64_t j = 0; j < parameters; ++j) {
            sum += trial.actual(
                score)[n * static_cast<std::size_t>(parameters) + static_cast<std::size_t>(j)];
          }
          EXPECT_EQ(std::isnan(sum), is_nan) << name << n;
        }
      }
    }
  });
}

/// Values by hand prove the reference first, then the backend.
void add_by_hand(OperationTable& table, DensityFamily family, const std::string& name) {
  table.add_types("density_log_p", name + "_by_hand", [=](TestDevice& device, ElementType type) {
    const ReferenceDensity& reference = reference_density(family);
    const DensityShape shape = reference.shapes().front();
    const std::vector<double> constants = reference.constants(shape);
    for (const ReferenceDensity::Value& value : reference.values()) {
      const naive::Vector exact_theta(value.theta.begin(), value.theta.end());
      const naive::Vector exact_x(value.x.begin(), value.x.end());
      const naive::Vector exact_constants(constants.begin(), constants.end());
      EXPECT_TRUE(
          within(static_cast<double>(reference.log_p(shape, exact_constants, exact_theta, exact_x)),
                 value.log_p, 1e-14));
      const naive::Vector score = reference.score(shape, exact_constants, exact_theta, exact_x);
      const auto parameters = static_cast<std::int64_t>(value.theta.size());
      Trial trial(device);
      const Subject subject(trial, family, shape, value.theta);
      const Operand x = trial.matrix(1, shape.dimensions, type, Use::input);
      trial.set(x, value.x);
      const Operand log_p = trial.vector(1, float64, Use::output);
      const Operand row = trial.matrix(1, parameters, type, Use::output);
      trial.run([&](Backend& backend, const Side& of) {
        const DensityAt at = subject.at(backend, of);
        backend.density_log_p(family, at, of(x), of(log_p));
        backend.density_score(family, at, of(x), {}, of(row));
      });
      EXPECT_TRUE(within(trial.actual(log_p)[0], value.log_p, 1e-14));
      for (std::size_t j = 0; j < value.score.size(); ++j) {
        EXPECT_TRUE(within(static_cast<double>(score[j]), value.score[j], 1e-11)) << j;
        EXPECT_TRUE(within(trial.actual(row)[j], value.score[j], 16 * epsilon(type))) << j;
      }
    }
  });
}

/// R^T R = F by hand, from the closed form.
void add_fisher_by_hand(OperationTable& table, DensityFamily family, const std::string& name) {
  table.add("evaluate", "density_fisher_" + name, [=](TestDevice& device) {
    const ReferenceDensity& reference = reference_density(family);
    const DensityShape shape = reference.shapes().front();
    const std::vector<double> F = reference.fisher();
    const std::vector<double> theta = reference.values().front().theta;
    const auto P = theta.size();
    if (!formulas::sizes_of(family, shape).closed) return;
    Trial trial(device);
    const Subject subject(trial, family, shape, theta);
    const Operand rows = trial.vector(static_cast<std::int64_t>(P * P), float64, Use::output);
    trial.run([&](Backend& backend, const Side& of) {
      backend.evaluate(formulas::DensityFisher{
          .family = family, .at = subject.at(backend, of), .rows = of(rows).as<double>()});
    });
    ASSERT_EQ(F.size(), P * P);
    for (std::size_t i = 0; i < P; ++i) {
      for (std::size_t j = 0; j < P; ++j) {
        double sum = 0;
        for (std::size_t k = 0; k < P; ++k) {
          sum += trial.actual(rows)[k * P + i] * trial.actual(rows)[k * P + j];
        }
        EXPECT_TRUE(within(sum, F[i * P + j], 1e-14)) << i << ' ' << j;
      }
    }
  });
}

/// Upper factors of matrices whose factors are known: one regular, one whose second parameter adds
/// nothing to the first, and one with a NaN, which stays.
void add_factor(OperationTable& table) {
  struct Example {
    std::vector<double> F, rows;
  };
  static const std::vector<Example> examples = {
      {{4, 2, 6, nan, 10, 9, nan, nan, 19}, {2, 1, 3, 0, 3, 2, 0, 0, std::sqrt(6.0)}},
      {{4, 2, 6, nan, 1, 3, nan, nan, 10}, {2, 1, 3, 0, 0, 0, 0, 0, 1}},
      {{0, 0, 0, nan, 0, 0, nan, nan, 9}, {0, 0, 0, 0, 0, 0, 0, 0, 3}},
      {{nan, 1, 1, nan, 1, 1, nan, nan, 1}, {nan, nan, nan, 0, nan, nan, 0, 0, nan}},
  };
  table.add("evaluate", "factor_semidefinite", [](TestDevice& device) {
    for (const Example& example : examples) {
      Trial trial(device);
      const Operand F = trial.vector(float64, Use::both, example.F);
      trial.run([&](Backend& backend, const Side& of) {
        const View view = of(F);
        if (of.place() == Side::magnitude) backend.upload(example.F.data(), view);
        backend.evaluate(formulas::FactorSemidefinite{
            .size = 3, .F = view.as<double>(), .rows = view.as<double>()});
      });
      for (std::size_t i = 0; i < 9; ++i) {
        EXPECT_TRUE(within(trial.actual(F)[i], example.rows[i], 1e-14)) << i;
      }
    }
  });
}

/// sum w p (log p - log p'), where a point without weight or density counts nothing.
void add_divergence(OperationTable& table) {
  table.add("evaluate", "sum_divergence", [](TestDevice& device) {
    Trial trial(device);
    const Operand weights = trial.vector(float64, Use::input, {1, 0.5, 0, 2});
    const Operand log_p = trial.vector(float64, Use::input, {-std::log(2.0), 0, 1, -infinity});
    const Operand log_other = trial.vector(float64, Use::input, {-1, -2, nan, -3});
    const Operand result = trial.scalar_output();
    trial.run([&](Backend& backend, const Side& of) {
      backend.evaluate(formulas::SumDivergence{.weights = of(weights).as<double>(),
                                               .log_p = of(log_p).as<double>(),
                                               .log_other = of(log_other).as<double>(),
                                               .nodes = 4,
                                               .result = of(result).as<double>()});
    });
    EXPECT_TRUE(within(trial.actual(result)[0], 0.5 * (1 - std::log(2.0)) + 1, 1e-14));
  });
}

}  // namespace

void add_density_cases(OperationTable& table) {
  for (const EnumeratorName<DensityFamily>& row : density_table) {
    add_log_p(table, row.value, row.name);
    add_score(table, row.value, row.name);
    add_sample(table, row.value, row.name);
    add_outside(table, row.value, row.name);
    add_by_hand(table, row.value, row.name);
    add_fisher_by_hand(table, row.value, row.name);
  }
  add_factor(table);
  add_divergence(table);
}

}  // namespace natgrad::tests
