#include "kernels/formulas/likelihoods/table.hpp"
#include "support/likelihood_subject.hpp"
#include "support/operation_table.hpp"
#include "support/tolerance.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>
#include <string>
#include <utility>
#include <vector>

// Likelihoods: the same cases for every row of the table, with the definitions and bounds of
// tests/backend/likelihoods. Magnitudes of the outputs reach from a fresh net to a saturated one.

namespace natgrad::tests {

namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();
constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr ElementType float64 = ElementType::float64;

// Each is drawn six times.
constexpr Size sampling_sizes[] = {{0, 5, 0},   {1, 1, 0},  {13, 15, 3},
                                   {401, 3, 5}, {3, 67, 0}, {2, 300, 3}};

/// An operation of (z, targets) with one result, and what the result may err by. Its instances are
/// constexpr because the table of operations is read before other constants of this file exist.
struct LikelihoodOperation {
  const char* name;
  void (ModelOperations::*call)(const OutputDistribution&, const ConstView&, const ConstView&,
                                const View&);
  Operand (*result)(Trial& trial, const Size& size, ElementType type);
  double (*bound)(const ReferenceLikelihood& reference, const ReferenceLikelihood::Outputs& outputs,
                  std::int64_t rows);
};

constexpr LikelihoodOperation score_operation{
    "likelihood_score", &ModelOperations::likelihood_score,
    [](Trial& trial, const Size& size, ElementType type) {
      return trial.matrix(size.rows, size.columns, type, Use::output);
    },
    [](const auto& reference, const auto& outputs, std::int64_t) {
      return reference.score_bound(outputs);
    }};

constexpr LikelihoodOperation log_likelihood_operation{
    "log_likelihood", &ModelOperations::log_likelihood,
    [](Trial& trial, const Size& size, ElementType) {
      return trial.vector(size.rows, float64, Use::output);
    },
    [](const auto& reference, const auto& outputs, std::int64_t) {
      return reference.log_p_bound(outputs);
    }};

constexpr LikelihoodOperation evaluate_operation{
    "likelihood_evaluate", &ModelOperations::likelihood_evaluate,
    [](Trial& trial, const Size&, ElementType) { return trial.vector(2, float64, Use::output); },
    [](const auto& reference, const auto& outputs, std::int64_t rows) {
      const double n = static_cast<double>(rows);
      return n * reference.log_p_bound(outputs) +
             sum_bound(rows, float64, n * reference.largest_log_p(outputs)) +
             sum_bound(rows + outputs.count + 20, float64, n * reference.largest_figure(outputs));
    }};

void add_size_cases(OperationTable& table, const Subject& subject,
                    const LikelihoodOperation& operation) {
  table.add_types(operation.name, subject.name, [=](TestDevice& device, ElementType type) {
    for (double largest : subject.magnitudes()) {
      for_outputs(subject, device, [&](Trial& trial, const Size& size) {
        const ReferenceLikelihood& reference = subject.reference();
        const Operand z = outputs_of(trial, size, type, largest);
        const Operand targets =
            subject.targets(trial, type, reference.targets(size.rows, size.columns));
        const Operand result = operation.result(trial, size, type);
        trial.run([&](Backend& backend, const Side& of) {
          ModelOperations& models = backend;
          (models.*operation.call)(subject.distribution(), of(z),
                                   subject.rows(of(targets), size.columns), of(result));
        });
        trial.expect_within(result,
                            operation.bound(reference, {size.columns, type, largest}, size.rows));
      });
    }
  });
}

/// Rows of targets outside the support give NaN, their neighbours what they give alone.
void add_support_cases(OperationTable& table, const Subject& subject,
                       const LikelihoodOperation& operation) {
  table.add_types(
      operation.name, subject.name + "_outside_the_support",
      [=](TestDevice& device, ElementType type) {
        const ReferenceLikelihood& reference = subject.reference();
        const std::vector<double> given = reference.targets_every_other_outside();
        const std::int64_t outputs = subject.outputs(5);
        const std::int64_t rows = static_cast<std::int64_t>(given.size()) /
                                  formulas::targets_of(subject.likelihood, outputs);
        Trial trial(device, 2);
        const Size size{rows, outputs, 2};
        const Operand z = outputs_of(trial, size, type, 1);
        const Operand targets = subject.targets(trial, type, given);
        const Operand result = operation.result(trial, size, type);
        trial.run([&](Backend& backend, const Side& of) {
          ModelOperations& models = backend;
          (models.*operation.call)(subject.distribution(), of(z),
                                   subject.rows(of(targets), outputs), of(result));
        });
        trial.expect_within(result, operation.bound(reference, {outputs, type, 1}, rows));
        const std::vector<double>& actual = trial.actual(result);
        const std::size_t of_row = actual.size() / static_cast<std::size_t>(rows);
        for (std::size_t i = 0; i < actual.size(); ++i) {
          const bool outside = of_row == 0 ? i == 0 : i / of_row % 2 == 0;
          EXPECT_EQ(std::isnan(actual[i]), outside) << i;
        }
      });
}

/// An output that is not finite shows in its row, and in no other.
void add_not_finite_cases(OperationTable& table, const Subject& subject) {
  table.add_types(
      "likelihood_score", subject.name + "_not_finite", [=](TestDevice& device, ElementType type) {
        for (double bad : {nan, infinity}) {
          const ReferenceLikelihood& reference = subject.reference();
          const std::int64_t outputs = subject.outputs(5);
          Trial trial(device);
          const Operand z = with_bad_output(trial, outputs, type, bad);
          const Operand targets = subject.targets(trial, type, reference.targets(3, outputs));
          const Operand score = trial.matrix(3, outputs, type, Use::output);
          trial.run([&](Backend& backend, const Side& of) {
            backend.likelihood_score(subject.distribution(), of(z),
                                     subject.rows(of(targets), outputs), of(score));
          });
          // At least where the bad output stands the row must say so.
          const auto count = static_cast<std::size_t>(outputs);
          EXPECT_TRUE(std::isnan(trial.actual(score)[count + 2]));
          for (std::size_t i = 0; i < 3 * count; ++i) {
            if (i / count == 1) continue;
            EXPECT_TRUE(within(trial.actual(score)[i], trial.expected(score)[i],
                               reference.score_bound({outputs, type, 1})));
          }
        }
      });
  table.add_types(
      "log_likelihood", subject.name + "_not_finite", [=](TestDevice& device, ElementType type) {
        const ReferenceLikelihood& reference = subject.reference();
        const std::int64_t outputs = subject.outputs(5);
        Trial trial(device, 2);
        const Operand z = with_bad_output(trial, outputs, type, nan);
        const Operand targets = subject.targets(trial, type, reference.targets(3, outputs));
        const Operand log_p = trial.vector(3, float64, Use::output);
        trial.run([&](Backend& backend, const Side& of) {
          backend.log_likelihood(subject.distribution(), of(z), subject.rows(of(targets), outputs),
                                 of(log_p));
        });
        trial.expect_within(log_p, reference.log_p_bound({outputs, type, 1}));
        for (std::size_t n = 0; n < 3; ++n) {
          EXPECT_EQ(std::isnan(trial.actual(log_p)[n]), n == 1) << n;
        }
      });
}

/// Several rows of targets share a row of outputs.
void add_shared_cases(OperationTable& table, const Subject& subject) {
  table.add_types(
      "likelihood_score", subject.name + "_shared", [=](TestDevice& device, ElementType type) {
        for_outputs(subject, device, [&](Trial& trial, const Size& size) {
          const ReferenceLikelihood& reference = subject.reference();
          const Operand z = trial.matrix(size.rows, size.columns, type, Use::input);
          const Operand targets =
              subject.targets(trial, type, reference.targets(3 * size.rows, size.columns));
          const Operand score = trial.matrix(3 * size.rows, size.columns, type, Use::output);
          trial.run([&](Backend& backend, const Side& of) {
            backend.likelihood_score(subject.distribution(), of(z),
                                     subject.rows(of(targets), size.columns), of(score));
          });
          trial.expect_within(score, reference.score_bound({size.columns, type, 1}));
        });
      });
}

/// Values by hand prove the reference first, then the backend.
void add_cases_by_hand(OperationTable& table, const Subject& subject) {
  table.add_types(
      "likelihood_evaluate", subject.name + "_by_hand", [=](TestDevice& device, ElementType type) {
        const ReferenceLikelihood& reference = subject.reference();
        for (const ReferenceLikelihood::Value& value : reference.values()) {
          SCOPED_TRACE(testing::PrintToString(value.z) + " at " + testing::PrintToString(value.y));
          const ReferenceLikelihood::Vector exact_z(value.z.begin(), value.z.end());
          const ReferenceLikelihood::Vector exact_y(value.y.begin(), value.y.end());
          const double tiny = 8 * epsilon(float64);
          expect_near(as_double(reference.score(exact_z, exact_y)), value.score, tiny);
          expect_near({static_cast<double>(reference.log_p(exact_z, exact_y)),
                       static_cast<double>(reference.figure(exact_z, exact_y))},
                      {value.log_p, value.figure}, tiny);

          const auto outputs = static_cast<std::int64_t>(value.z.size());
          Trial trial(device);
          const Operand z = trial.matrix(1, outputs, type, Use::input);
          trial.set(z, value.z);
          const Operand targets = subject.targets(trial, type, value.y);
          const Operand score = trial.matrix(1, outputs, type, Use::output);
          const Operand log_p = trial.vector(1, float64, Use::output);
          const Operand sums = trial.vector(2, float64, Use::output);
          trial.run([&](Backend& backend, const Side& of) {
            const View y = subject.rows(of(targets), outputs);
            backend.likelihood_score(subject.distribution(), of(z), y, of(score));
            backend.log_likelihood(subject.distribution(), of(z), y, of(log_p));
            backend.likelihood_evaluate(subject.distribution(), of(z), y, of(sums));
          });
          // log p of outputs that `type` has rounded.
          const double bound = 8 * epsilon(type);
          expect_near(trial.actual(score), value.score, bound);
          expect_near(trial.actual(log_p), {value.log_p}, bound);
          expect_near(trial.actual(sums), {value.log_p, value.figure}, bound);
        }
      });
  table.add("likelihood_sample", subject.name + "_by_hand", [=](TestDevice&) {
    const ReferenceLikelihood& reference = subject.reference();
    for (const ReferenceLikelihood::Draw& draw : reference.draws()) {
      SCOPED_TRACE(testing::PrintToString(draw.z) + " at " + std::to_string(draw.uniform));
      const auto y = reference.sample({draw.z.begin(), draw.z.end()},
                                      [&](std::int64_t) { return draw.uniform; });
      expect_near(as_double(y), draw.y, 1e-14);
    }
  });
}

void add_sampling_cases(OperationTable& table, const Subject& subject) {
  for (std::int64_t draws : {1, 3}) {
    table.add_types(
        "likelihood_sample", subject.name + "_" + std::to_string(draws),
        [=](TestDevice& device, ElementType type) {
          // The last wraps: counters of more than 32 bits begin again.
          for (double drawing : {0.0, 4294967295.0, 4294967296.0}) {
            for_outputs(subject, device, sampling_sizes, [&](Trial& trial, const Size& size) {
              const double largest = subject.magnitudes()[drawing == 0 ? 0 : 1];
              const Operand z = outputs_of(trial, size, type, largest);
              const Operand counter = trial.vector(float64, Use::both, {drawing});
              const Operand targets = trial.vector(
                  draws * size.rows * formulas::targets_of(subject.likelihood, size.columns),
                  formulas::target_type(subject.likelihood, type), Use::output);
              trial.run([&](Backend& backend, const Side& of) {
                backend.likelihood_sample(subject.distribution(), of(z), 0x123456789abcdef0, draws,
                                          of(counter), subject.rows(of(targets), size.columns));
              });
              trial.expect_within(targets,
                                  subject.reference().sample_bound({size.columns, type, largest}));
              trial.expect_equal(counter);
            });
          }
        });
  }
  table.add_types(
      "likelihood_sample", subject.name + "_not_finite", [=](TestDevice& device, ElementType type) {
        for (double bad : {nan, infinity, -infinity}) {
          const std::int64_t outputs = subject.outputs(5);
          Trial trial(device, 2);
          const Operand z = with_bad_output(trial, outputs, type, bad);
          const Operand counter = trial.vector(float64, Use::both, {1});
          const std::int64_t columns = formulas::targets_of(subject.likelihood, outputs);
          const Operand targets = trial.vector(
              6 * columns, formulas::target_type(subject.likelihood, type), Use::output);
          const Operand score = trial.matrix(6, outputs, type, Use::output);
          trial.run([&](Backend& backend, const Side& of) {
            const View drawn = subject.rows(of(targets), outputs);
            backend.likelihood_sample(subject.distribution(), of(z), 1, 2, of(counter), drawn);
            backend.likelihood_score(subject.distribution(), of(z), drawn, of(score));
          });
          trial.expect_within(targets, subject.reference().sample_bound({outputs, type, 1}));
          // What was drawn for the bad row has no score.
          const auto count = static_cast<std::size_t>(outputs);
          for (std::size_t row = 0; row < 6; ++row) {
            const auto* first = trial.actual(score).data() + row * count;
            const bool bad_row = std::any_of(first, first + count, [](double s) { return s != s; });
            EXPECT_EQ(bad_row, row / 2 == 1) << row;
          }
        }
      });
}

}  // namespace

void add_likelihood_cases(OperationTable& table) {
  formulas::for_each_likelihood([&](const auto& row) {
    const Subject subject{row.value, to_string(row.value)};
    for (const LikelihoodOperation& operation :
         {score_operation, log_likelihood_operation, evaluate_operation}) {
      add_size_cases(table, subject, operation);
      add_support_cases(table, subject, operation);
    }
    add_not_finite_cases(table, subject);
    add_shared_cases(table, subject);
    add_cases_by_hand(table, subject);
    add_sampling_cases(table, subject);
  });
}

}  // namespace natgrad::tests
