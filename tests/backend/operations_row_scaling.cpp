#include "backend/row_layouts.hpp"
#include "support/operation_table.hpp"

#include <cmath>
#include <limits>
#include <optional>
#include <string>
#include <vector>

namespace natgrad::tests {

namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();
constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr ElementType float64 = ElementType::float64;

}  // namespace

/// Weights and coefficients each of a type of its own, or not given.
void add_row_scaling_cases(OperationTable& table) {
  const std::vector<std::optional<ElementType>> types = {std::nullopt, ElementType::float32,
                                                         float64};
  const auto name = [](std::optional<ElementType> type) {
    return type ? std::string(to_string(*type)) : std::string("none");
  };
  for (std::optional<ElementType> weight : types) {
    for (std::optional<ElementType> coefficient : types) {
      table.add("row_scaling", "weights_" + name(weight) + "_coefficients_" + name(coefficient),
                [=](TestDevice& device) {
                  for_sizes(device, product_sizes, [&](Trial& trial, std::int64_t n) {
                    Operand weights;
                    if (weight) {
                      // One number a row of a padded matrix.
                      weights = trial.matrix(n, 1, *weight, Use::input);
                      std::vector<double> elements = trial.given(weights);
                      for (double& element : elements) element = std::abs(element);
                      if (n > 2) elements[1] = 0;
                      trial.set(weights, elements);
                    }
                    Operand coefficients;
                    if (coefficient) coefficients = trial.matrix(n, 1, *coefficient, Use::input);
                    const Operand scale = trial.vector(n, float64, Use::output);
                    const Operand rhs = trial.vector(n, float64, Use::output);
                    const Operand reference = trial.scalar(0.6);
                    for (const Scalar constant : {Scalar(0.0), Scalar(-0.4)}) {
                      trial.run([&](Backend& backend, const Side& of) {
                        backend.row_scaling(of(weights), 0.37, of(coefficients), constant, of(-1.5),
                                            of(scale), of(rhs));
                      });
                      trial.expect_rounded(scale, 2);
                      trial.expect_rounded(rhs, 2);
                    }
                    trial.run([&](Backend& backend, const Side& of) {
                      // Magnitudes add up.
                      const Scalar subtracted =
                          of.place() == Side::magnitude ? Scalar(-0.6) : Scalar(of(reference));
                      backend.row_scaling(of(weights), 0.37, of(coefficients), subtracted, of(-1.5),
                                          of(scale), of(rhs));
                    });
                    trial.expect_rounded(rhs, 3);
                  });
                });
    }
  }
  table.add("row_scaling", "not_finite", [=](TestDevice& device) {
    Trial trial(device);
    // The last row is left out, whatever its coefficient is.
    const Operand weights = trial.vector(float64, Use::input, {nan, 1, 4, 4, 0});
    const Operand coefficients = trial.vector(float64, Use::input, {1, nan, infinity, 3, nan});
    const Operand scale = trial.vector(5, float64, Use::output);
    const Operand rhs = trial.vector(5, float64, Use::output);
    for (const double reference : {0.5, nan}) {
      trial.run([&](Backend& backend, const Side& of) {
        backend.row_scaling(of(weights), 0, of(coefficients), reference, 1, of(scale), of(rhs));
      });
      trial.expect_equal(scale);
      trial.expect_equal(rhs);
    }
  });
}

}  // namespace natgrad::tests
