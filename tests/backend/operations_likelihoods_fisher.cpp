#include "kernels/formulas/likelihoods/table.hpp"
#include "support/likelihood_subject.hpp"
#include "support/operation_table.hpp"
#include "support/tolerance.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <utility>
#include <vector>

// Exact Fisher rows of every likelihood, and the KL divergences whose second derivative F is.

namespace natgrad::tests {

namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();
constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr ElementType float64 = ElementType::float64;

/// A trial of likelihood_exact.
struct ExactTrial {
  Operand rows;
  Operand r;

  ExactTrial(Trial& trial, const Subject& subject, Operand z, const Size& size, ElementType type,
             std::vector<double> given)
      : rows(trial.matrix(size.rows * size.columns, size.columns, type, Use::output)),
        r(trial.vector(size.rows * size.columns, float64, Use::output)) {
    const Operand targets = subject.targets(trial, type, std::move(given));
    trial.run([&](Backend& backend, const Side& of) {
      backend.likelihood_exact(subject.distribution(), of(z),
                               subject.rows(of(targets), size.columns), of(rows), of(r));
    });
  }
};

/// S^T S = F and S^T r = score.
void expect_exact_by_hand(TestDevice& device, const Subject& subject,
                          const ReferenceLikelihood::Value& value, ElementType type) {
  const std::size_t outputs = value.z.size();
  const Size size{1, static_cast<std::int64_t>(outputs), 0};
  Trial trial(device);
  const Operand z = trial.matrix(1, size.columns, type, Use::input);
  trial.set(z, value.z);
  const ExactTrial exact(trial, subject, z, size, type, value.y);
  for (const bool reference : {true, false}) {
    const auto& rows = reference ? trial.expected(exact.rows) : trial.actual(exact.rows);
    const auto& r = reference ? trial.expected(exact.r) : trial.actual(exact.r);
    std::vector<double> fisher(outputs * outputs, 0.0);
    std::vector<double> score(outputs, 0.0);
    for (std::size_t c = 0; c < outputs; ++c) {
      for (std::size_t j = 0; j < outputs; ++j) {
        // A coefficient that is NaN has a row of its own output alone, or all are.
        if (rows[c * outputs + j] != 0) score[j] += r[c] * rows[c * outputs + j];
        for (std::size_t i = 0; i < outputs; ++i) {
          fisher[i * outputs + j] += rows[c * outputs + i] * rows[c * outputs + j];
        }
      }
    }
    expect_near(fisher, value.fisher, 8 * epsilon(type));
    expect_near(score, value.score, 8 * epsilon(type));
  }
}

void add_exact_cases(OperationTable& table, const Subject& subject) {
  // Of n rows of c outputs it writes n c^2 numbers.
  static constexpr Size of_exact[] = {{0, 5, 0},   {1, 1, 0},   {1, 15, 3}, {13, 15, 0},
                                      {401, 3, 1}, {29, 33, 2}, {2, 257, 0}};
  table.add_types("likelihood_exact", subject.name, [=](TestDevice& device, ElementType type) {
    const ReferenceLikelihood& reference = subject.reference();
    for (double largest : subject.magnitudes()) {
      for_outputs(subject, device, of_exact, [&](Trial& trial, const Size& size) {
        const Operand z = outputs_of(trial, size, type, largest);
        const ExactTrial exact(trial, subject, z, size, type,
                               reference.targets(size.rows, size.columns));
        const ReferenceLikelihood::Outputs outputs{size.columns, type, largest};
        trial.expect_within(exact.rows, reference.row_bound(outputs));
        trial.expect_within(exact.r, reference.coefficient_bound(outputs));
      });
    }
  });
  table.add_types(
      "likelihood_exact", subject.name + "_outside_the_support",
      [=](TestDevice& device, ElementType type) {
        const std::int64_t outputs = subject.outputs(5);
        std::vector<double> given = subject.reference().targets_every_other_outside();
        const std::int64_t rows = static_cast<std::int64_t>(given.size()) /
                                  formulas::targets_of(subject.likelihood, outputs);
        Trial trial(device);
        const Size size{rows, outputs, 0};
        const Operand z = outputs_of(trial, size, type, 1);
        const ExactTrial exact(trial, subject, z, size, type, std::move(given));
        trial.expect_within(exact.rows, subject.reference().row_bound({outputs, type, 1}));
        for (std::int64_t i = 0; i < rows * outputs; ++i) {
          const double r = trial.actual(exact.r)[static_cast<std::size_t>(i)];
          EXPECT_EQ(std::isnan(r), i / outputs % 2 == 0) << i;
        }
      });
  table.add_types("likelihood_exact", subject.name + "_not_finite",
                  [=](TestDevice& device, ElementType type) {
                    for (double bad : {nan, infinity}) {
                      const std::int64_t outputs = subject.outputs(5);
                      Trial trial(device);
                      const Operand z = with_bad_output(trial, outputs, type, bad);
                      const ExactTrial exact(trial, subject, z, {3, outputs, 0}, type,
                                             subject.reference().targets(3, outputs));
                      // Row 2 of the second root says so, and nothing of the others does.
                      const auto count = static_cast<std::size_t>(outputs);
                      for (std::size_t n = 0; n < 3; ++n) {
                        const auto* first = trial.actual(exact.rows).data() + n * count * count;
                        const auto is_nan = [](double element) { return std::isnan(element); };
                        EXPECT_EQ(std::any_of(first, first + count * count, is_nan), n == 1);
                        EXPECT_EQ(std::isnan(first[2 * count + 2]), n == 1);
                      }
                    }
                  });
  table.add_types(
      "likelihood_exact", subject.name + "_by_hand", [=](TestDevice& device, ElementType type) {
        for (const ReferenceLikelihood::Value& value : subject.reference().values()) {
          SCOPED_TRACE(testing::PrintToString(value.z) + " at " + testing::PrintToString(value.y));
          expect_exact_by_hand(device, subject, value, type);
        }
      });
}

void add_kl_cases(OperationTable& table, const Subject& subject) {
  table.add_types("likelihood_kl", subject.name, [=](TestDevice& device, ElementType type) {
    const ReferenceLikelihood& reference = subject.reference();
    for (double largest : subject.magnitudes()) {
      for_outputs(subject, device, [&](Trial& trial, const Size& size) {
        const Operand z = outputs_of(trial, size, type, largest);
        const Operand now = outputs_of(trial, size, type, largest);
        const Operand kl = trial.vector(size.rows, float64, Use::output);
        trial.run([&](Backend& backend, const Side& of) {
          backend.likelihood_kl(subject.distribution(), of(z), of(now), of(kl));
        });
        trial.expect_within(kl, reference.kl_bound({size.columns, type, largest}));
      });
    }
  });
  table.add_types("likelihood_kl", subject.name + "_not_finite",
                  [=](TestDevice& device, ElementType type) {
                    const std::int64_t outputs = subject.outputs(5);
                    Trial trial(device, 2);
                    const Operand z = with_bad_output(trial, outputs, type, nan);
                    const Operand now = trial.matrix(3, outputs, type, Use::input);
                    for (const auto& [from, to] : {std::pair(z, now), std::pair(now, z)}) {
                      const Operand kl = trial.vector(3, float64, Use::output);
                      trial.run([&, from = from, to = to](Backend& backend, const Side& of) {
                        backend.likelihood_kl(subject.distribution(), of(from), of(to), of(kl));
                      });
                      for (std::size_t n = 0; n < 3; ++n) {
                        EXPECT_EQ(std::isnan(trial.actual(kl)[n]), n == 1) << n;
                      }
                    }
                  });
  table.add_types(
      "likelihood_kl", subject.name + "_by_hand", [=](TestDevice& device, ElementType type) {
        const ReferenceLikelihood& reference = subject.reference();
        for (const ReferenceLikelihood::Divergence& value : reference.divergences()) {
          SCOPED_TRACE(testing::PrintToString(value.z) + " to " +
                       testing::PrintToString(value.now));
          const ReferenceLikelihood::Vector exact_z(value.z.begin(), value.z.end());
          const ReferenceLikelihood::Vector exact_now(value.now.begin(), value.now.end());
          expect_near({static_cast<double>(reference.kl(exact_z, exact_now))}, {value.kl},
                      8 * epsilon(float64));
          const auto outputs = static_cast<std::int64_t>(value.z.size());
          Trial trial(device);
          const Operand z = trial.matrix(1, outputs, type, Use::input);
          trial.set(z, value.z);
          const Operand now = trial.matrix(1, outputs, type, Use::input);
          trial.set(now, value.now);
          const Operand kl = trial.vector(1, float64, Use::output);
          trial.run([&](Backend& backend, const Side& of) {
            backend.likelihood_kl(subject.distribution(), of(z), of(now), of(kl));
          });
          expect_near(trial.actual(kl), {value.kl}, 8 * epsilon(type));
          if (value.z == value.now) {
            EXPECT_EQ(trial.actual(kl)[0], 0);
          }
        }
      });
}

}  // namespace

void add_likelihood_fisher_cases(OperationTable& table) {
  formulas::for_each_likelihood([&](const auto& row) {
    const Subject subject{row.value, to_string(row.value)};
    add_exact_cases(table, subject);
    add_kl_cases(table, subject);
  });
}

}  // namespace natgrad::tests
