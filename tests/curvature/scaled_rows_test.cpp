#include "natgrad/natgrad.hpp"
#include "support/device.hpp"
#include "support/layered_batch.hpp"
#include "support/plain.hpp"
#include "support/structured.hpp"
#include "support/tolerance.hpp"
#include "support/uses.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>
#include <vector>

// Rows of layers and of floats in the units of the damping, and rows of one weight.

namespace natgrad::tests {

namespace {

constexpr double same = 1e-11;  // relative; the systems' condition is below 1e3
constexpr double lambda = 0.3;
constexpr std::int64_t samples = 24;

// Inputs in other units change those of the weight, and not of the bias.
TEST(damping_units, the_direction_does_not_depend_on_the_units_of_a_layer) {
  LayeredBatch<double> batch(
      {.layers = {{.inputs = 5, .outputs = 4}, {.inputs = 4, .outputs = 3}}, .samples = samples});
  const auto direction = [&](const FisherMatrix::Options& options, double unit) {
    FisherMatrix fisher(batch.parameters, options);
    fisher.accumulate(batch.scores());
    Numbers d = solved(fisher);
    for (std::size_t i = 0; i < 20; ++i) d[i] *= unit;
    return d;
  };
  for (Structure structure : {Structure::full, Structure::block_diagonal}) {
    for (Form form : {Form::primal, Form::dual}) {
      const FisherMatrix::Options options{
          .structure = structure,
          .form = form,
          .damping = {.absolute = lambda, .scaling = DampingScaling::tensor}};
      const Numbers before = direction(options, 1);
      const auto scale_inputs = [&](double unit) {
        for (std::size_t n = 0; n < samples; ++n) {
          for (std::size_t i = 0; i < 5; ++i) batch.factors[0](n, i) *= unit;
        }
      };
      scale_inputs(1e3);
      EXPECT_TRUE(relative_error_within(direction(options, 1e3), before, 1e-10));
      scale_inputs(1e-3);
    }
  }
}

TEST(damping_units, floats_are_solved_as_exactly_as_in_one_unit) {
  const std::vector<Use> uses = {{.inputs = 5, .outputs = 4}, {.inputs = 4, .outputs = 3}};
  const UsedRows<float> rows(uses, samples);
  const UsedRows<double> wide(uses, samples);
  const Damping damping{.absolute = lambda, .scaling = DampingScaling::tensor};
  const auto direction = [&]<class T>(const UsedRows<T>& of, const FisherMatrix::Options& options) {
    LayerScores scores(of.parameters);
    of.fill(scores, {.samples = samples});
    FisherMatrix fisher(of.parameters, options);
    fisher.accumulate(scores);
    Tensor<T> d = zeros<T>(of.parameters.size());
    fisher.solve(Coefficients{}, d.view());
    return d.numbers();
  };
  const Numbers exact = direction(wide, {.form = Form::primal, .damping = damping});
  for (Form form : {Form::primal, Form::dual}) {
    EXPECT_TRUE(
        relative_error_within(direction(rows, {.form = form, .damping = damping}), exact, 1e-5));
  }
  EXPECT_TRUE(relative_error_within(
      direction(rows, {.form = Form::dual, .damping = damping, .gram_type = ElementType::float64}),
      exact, 1e-6));
}

// Float rows whose units are no powers of two: what is corrected by the rows themselves is exact to
// the rounding of the result.
TEST(damping_units, refined_solves_see_the_rows_themselves) {
  Tensor<float> numbers(Random(5).table(samples, 30));
  Tensor<double> wide(numbers.table());
  Tensor<float> theta_a(Numbers(12, 0.0));
  Tensor<float> theta_b(Numbers(18, 0.0));
  Tensor<double> wide_a(Numbers(12, 0.0));
  Tensor<double> wide_b(Numbers(18, 0.0));
  const auto solve_in = [](auto& rows, auto& first, auto& second,
                           const FisherMatrix::Options& options) {
    Parameters parameters(test_context());
    parameters.add(first.view());
    parameters.add(second.view());
    DenseScores scores(parameters);
    scores.begin(rows.view());
    FisherMatrix fisher(parameters, options);
    fisher.accumulate(scores);
    std::remove_reference_t<decltype(first)> d(Numbers(30, 0.0));
    fisher.solve(Coefficients{}, d.view());
    EXPECT_EQ(fisher.report().outcome, Outcome::accepted);
    return std::pair(d.numbers(), fisher.report().error_bound);
  };
  for (DampingScaling scaling : {DampingScaling::tensor, DampingScaling::diagonal}) {
    const Damping damping{.absolute = 1e-4, .scaling = scaling};
    const auto exact = solve_in(wide, wide_a, wide_b, {.form = Form::primal, .damping = damping});
    for (const FisherMatrix::Options& options :
         {FisherMatrix::Options{.form = Form::dual, .damping = damping, .refinement = 3},
          FisherMatrix::Options{
              .form = Form::dual, .damping = damping, .gram_type = ElementType::float64}}) {
      const auto found = solve_in(numbers, theta_a, theta_b, options);
      EXPECT_TRUE(relative_error_within(found.first, exact.first, 1.2e-7));
      EXPECT_TRUE(relative_error_within(found.first, exact.first, found.second));
    }
  }
}

TEST(one_weight, a_sum_is_the_number_of_rows_times_a_mean) {
  UsedRows<double> used({{.inputs = 3, .outputs = 2}}, samples);
  LayerScores scores(used.parameters);
  const auto direction = [&](double weight, double damping, Form form, bool in_parts) {
    FisherMatrix fisher(used.parameters,
                        {.form = form, .damping = {.absolute = damping}, .samples = samples});
    for (std::int64_t first = 0; first < samples; first += in_parts ? samples / 2 : samples) {
      const std::int64_t count = in_parts ? samples / 2 : samples;
      used.fill(scores, {.samples = count, .batch_samples = samples, .weight = weight}, first);
      fisher.accumulate(scores);
    }
    return std::pair(solved(fisher), fisher.trace());
  };
  for (Form form : {Form::primal, Form::dual}) {
    for (bool in_parts : {false, true}) {
      const auto mean = direction(0, 0.1, form, in_parts);
      const auto sum = direction(1, 0.1 * samples, form, in_parts);
      EXPECT_TRUE(relative_error_within(sum.first, mean.first, same));
      EXPECT_TRUE(within(sum.second, samples * mean.second, same * sum.second));
    }
  }
  Tensor<double> weights(Numbers(samples, 1.0));
  EXPECT_THROW(used.fill(scores, {.samples = samples, .weights = weights.view(), .weight = 1}),
               OptionError);
  EXPECT_THROW(used.fill(scores, {.samples = samples, .weight = -1}), OptionError);
  EXPECT_THROW(used.fill(scores, {.samples = samples, .weight = std::nan("")}), OptionError);
}

}  // namespace

}  // namespace natgrad::tests
