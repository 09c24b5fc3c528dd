#pragma once

#include "backend/model_sizes.hpp"
#include "kernels/formulas/likelihoods/table.hpp"
#include "support/operation_table.hpp"
#include "support/reference_likelihood.hpp"
#include "support/tolerance.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

// What the cases of all likelihoods have in common.

namespace natgrad::tests {

// The references take a microsecond for an output. Of 64 outputs a warp of a device takes one row,
// of 256 a block.
inline constexpr Size likelihood_sizes[] = {{0, 5, 0},   {1, 1, 0},    {1, 15, 3},  {13, 15, 0},
                                            {13, 1, 3},  {401, 17, 5}, {33, 67, 3}, {0, 300, 0},
                                            {5, 255, 0}, {3, 256, 0},  {2, 300, 3}, {1, 1001, 0}};
inline Operand outputs_of(Trial& trial, const Size& size, ElementType type, double largest) {
  const Operand z = trial.matrix(size.rows, size.columns, type, Use::input);
  spread(trial, z, largest);
  return z;
}

/// Targets are a vector to the trial, which pads matrices: here as rows of K.
inline View rows_of_targets(const View& targets, Likelihood likelihood, std::int64_t outputs) {
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

/// Three rows of outputs, of which the second has this one.
inline Operand with_bad_output(Trial& trial, std::int64_t outputs, ElementType type, double bad) {
  const Operand z = trial.matrix(3, outputs, type, Use::input);
  std::vector<double> elements = trial.given(z);
  elements[static_cast<std::size_t>(outputs) + 2] = bad;
  trial.set(z, elements);
  return z;
}

inline std::vector<double> as_double(const ReferenceLikelihood::Vector& elements) {
  return {elements.begin(), elements.end()};
}

/// Within `bound` of each number, relative where it is larger than 1.
inline void expect_near(const std::vector<double>& actual, const std::vector<double>& expected,
                        double bound) {
  ASSERT_EQ(actual.size(), expected.size());
  for (std::size_t i = 0; i < actual.size(); ++i) {
    const double magnitude = std::max(1.0, std::abs(expected[i]));
    EXPECT_TRUE(within(actual[i], expected[i], bound * magnitude)) << "element " << i;
  }
}

}  // namespace natgrad::tests
