#include "natgrad/natgrad.hpp"
#include "support/device.hpp"
#include "support/layered_batch.hpp"
#include "support/plain.hpp"
#include "support/tolerance.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

// Weights and coefficients as they lie in other people's arrays: with other columns between them,
// and in double beside float rows.

namespace natgrad::tests {

namespace {

constexpr std::size_t samples = 20;
constexpr std::size_t parameters_size = 6;

template <class T>
struct Rows {
  Tensor<T> theta{Random(4).numbers(parameters_size)};
  Tensor<T> rows{Random(5).table(samples, parameters_size)};
  Parameters parameters{test_context()};
  Rows() { parameters.add(theta.view()); }

  /// g, d of an optimizer in both forms, and of a Fisher matrix in both forms.
  std::vector<Numbers> results(const RowSet& set) {
    std::vector<Numbers> all;
    DenseScores scores(parameters);
    scores.begin(rows.view(), set);
    Tensor<T> out(Numbers(parameters_size, 0.0));
    scores.gradient(out.view());
    all.push_back(out.numbers());
    for (Form form : {Form::primal, Form::dual}) {
      NaturalGradient optimizer(parameters, {.momentum = NoMomentum{}, .form = form});
      optimizer.direction(scores, out.view());
      all.push_back(out.numbers());
      FisherMatrix fisher(parameters, {.form = form});
      fisher.accumulate(scores);
      fisher.solve(Coefficients{}, out.view());
      all.push_back(out.numbers());
    }
    return all;
  }
};

Numbers positive(Numbers numbers) {
  for (double& value : numbers) value = std::abs(value) + 0.1;
  return numbers;
}

template <class T, class Column>
void check_strides() {
  Rows<T> batch;
  // Numbers of T, so that both types hold them.
  const Numbers w = Tensor<T>(positive(Random(6).numbers(samples))).numbers();
  const Numbers c = Tensor<T>(Random(7).numbers(samples)).numbers();
  Tensor<T> weights(w);
  Tensor<T> coefficients(c);
  const auto expected =
      batch.results({.weights = weights.view(), .coefficients = coefficients.view()});
  // Columns of tables of three and five columns, NaN between.
  Table weight_column(samples, 1);
  Table coefficient_column(samples, 1);
  weight_column.elements = w;
  coefficient_column.elements = c;
  Tensor<Column> strided_weights(weight_column, 2);
  Tensor<Column> strided_coefficients(coefficient_column, 4);
  EXPECT_EQ(batch.results(
                {.weights = strided_weights.view(), .coefficients = strided_coefficients.view()}),
            expected);
}

TEST(columns, may_lie_apart_and_be_in_double) {
  check_strides<float, float>();
  check_strides<float, double>();
  check_strides<double, double>();
}

/// Local energies of -2,800 +- 0.05: their mean takes what digits float has.
TEST(columns, in_double_keep_the_digits_of_local_energies) {
  Numbers energies = Random(8).numbers(samples);
  for (double& energy : energies) energy = -2800 + 0.05 * energy;
  Rows<float> batch;

  // In double throughout, from the rows as float has them.
  Table centred = batch.rows.table();
  double mean_energy = 0;
  for (std::size_t j = 0; j < parameters_size; ++j) {
    double mean = 0;
    for (std::size_t n = 0; n < samples; ++n) mean += centred(n, j) / samples;
    for (std::size_t n = 0; n < samples; ++n) centred(n, j) -= mean;
  }
  for (double energy : energies) mean_energy += energy / samples;
  Numbers r = energies;
  for (double& value : r) value = (value - mean_energy) / std::sqrt(1.0 * samples);
  const Table C = weighted(centred, Numbers(samples, 1.0 / samples));
  const double damping = Damping{}.absolute;
  const Numbers d = damped_direction(C, damping, r);

  Tensor<double> in_double(energies);
  Tensor<float> in_float(energies);
  const auto errors = [&](const ConstView& coefficients) {
    std::vector<double> all;
    const auto results =
        batch.results({.coefficients = coefficients, .centering = Centering::rows});
    for (std::size_t i = 1; i < results.size(); ++i) all.push_back(relative_error(results[i], d));
    return all;
  };
  for (double error : errors(in_double.view())) EXPECT_LE(error, 1e-6);
  for (double error : errors(in_float.view())) EXPECT_GE(error, 1e-4) << "float holds them as well";
}

}  // namespace

}  // namespace natgrad::tests
