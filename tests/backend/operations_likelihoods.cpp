#include "backend/model_sizes.hpp"
#include "kernels/formulas/likelihoods/table.hpp"
#include "support/operation_table.hpp"
#include "support/reference_likelihood.hpp"
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

// The references take a microsecond for an output. Of 64 outputs a warp of a device takes one row,
// of 256 a block.
constexpr Size likelihood_sizes[] = {{0, 5, 0},   {1, 1, 0},    {1, 15, 3},  {13, 15, 0},
                                     {13, 1, 3},  {401, 17, 5}, {33, 67, 3}, {0, 300, 0},
                                     {5, 255, 0}, {3, 256, 0},  {2, 300, 3}, {1, 1001, 0}};
// Each is drawn six times.
constexpr Size sampling_sizes[] = {{0, 5, 0},   {1, 1, 0},  {13, 15, 3},
                                   {401, 3, 5}, {3, 67, 0}, {2, 300, 3}};

Operand outputs_of(Trial& trial, const Size& size, ElementType type, double largest) {
  const Operand z = trial.matrix(size.rows, size.columns, type, Use::input);
  spread(trial, z, largest);
  return z;
}

/// Targets are a vector to the trial, which pads matrices: here as rows of K.
View rows_of_targets(const View& targets, Likelihood likelihood, std::int64_t outputs) {
  const std::int64_t columns = formulas::targets_of(likelihood, outputs);
  return {targets.data(),
          targets.type(),
          {targets.rows() / columns, columns},
          {.device = targets.device()}};
}

/// A likelihood as its cases see it.
struct Subject {
  Likelihood likelihood;
  std::string name;

  const ReferenceLikelihood& reference() const { return reference_likelihood(likelihood); }
  OutputDistribution distribution() const { return {likelihood, reference().sigma()}; }
  /// Outputs of a row of so many targets, or of so many classes.
  std::int64_t outputs(std::int64_t columns) const {
    return columns * formulas::outputs_a_target(likelihood);
  }
  /// From a fresh net to a saturated one, as far as numbers stay finite.
  std::vector<double> magnitudes() const {
    std::vector<double> all;
    for (double magnitude : {1.0, 30.0, 1e4}) {
      if (all.empty() || magnitude < 2 * reference().largest_output()) {
        all.push_back(std::min(magnitude, reference().largest_output()));
      }
    }
    return all;
  }
  Operand targets(Trial& trial, ElementType outputs, std::vector<double> elements) const {
    return trial.vector(formulas::target_type(likelihood, outputs), Use::input,
                        std::move(elements));
  }
  View rows(const View& targets, std::int64_t outputs) const {
    return rows_of_targets(targets, likelihood, outputs);
  }
};

/// Rows of outputs of a likelihood.
template <class Body>
void for_outputs(const Subject& subject, TestDevice& device, std::span<const Size> sizes,
                 const Body& body) {
  for_sizes(device, sizes, [&](Trial& trial, const Size& size) {
    body(trial, Size{size.rows, subject.outputs(size.columns), size.padding});
  });
}
template <class Body>
void for_outputs(const Subject& subject, TestDevice& device, const Body& body) {
  for_outputs(subject, device, likelihood_sizes, body);
}

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

/// Three rows of outputs, of which the second has this one.
Operand with_bad_output(Trial& trial, std::int64_t outputs, ElementType type, double bad) {
  const Operand z = trial.matrix(3, outputs, type, Use::input);
  std::vector<double> elements = trial.given(z);
  elements[static_cast<std::size_t>(outputs) + 2] = bad;
  trial.set(z, elements);
  return z;
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

std::vector<double> as_double(const ReferenceLikelihood::Vector& elements) {
  return {elements.begin(), elements.end()};
}

/// Within `bound` of each number, relative where it is larger than 1.
void expect_near(const std::vector<double>& actual, const std::vector<double>& expected,
                 double bound) {
  ASSERT_EQ(actual.size(), expected.size());
  for (std::size_t i = 0; i < actual.size(); ++i) {
    const double magnitude = std::max(1.0, std::abs(expected[i]));
    EXPECT_TRUE(within(actual[i], expected[i], bound * magnitude)) << "element " << i;
  }
}

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
          expect_exact_by_hand(device, subject, value, type);
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
    add_exact_cases(table, subject);
    add_kl_cases(table, subject);
  });
}

}  // namespace natgrad::tests
