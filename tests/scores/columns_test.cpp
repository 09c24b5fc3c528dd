#include "natgrad/natgrad.hpp"
#include "support/device.hpp"
#include "support/layered_batch.hpp"
#include "support/plain.hpp"
#include "support/tolerance.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
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

constexpr double nan = std::numeric_limits<double>::quiet_NaN();
constexpr double inf = std::numeric_limits<double>::infinity();

/// Uses of every kind of 12 rows: of two layers with one term and of one with three, of a bias
/// alone, and of two rows an input. `spoiled` rows hold NaN or Inf in all that they have of their
/// own.
template <class T>
struct Padded {
  static constexpr std::size_t rows = 12;
  Tensor<T> weight{Random(20).table(2, 3)};
  Tensor<T> bias{Random(21).table(2, 1)};
  Tensor<T> shared{Random(22).table(2, 2)};
  Tensor<T> shared_bias{Random(23).table(2, 1)};
  Tensor<T> offset{Random(24).table(3, 1)};
  Tensor<T> drawn{Random(25).table(2, 3)};
  Tensor<T> drawn_bias{Random(26).table(2, 1)};
  Tensor<T> input{Random(30).table(rows, 3)};
  Tensor<T> score{Random(31).table(rows, 2)};
  Tensor<T> many_inputs{Random(32).table(3 * rows, 2)};
  Tensor<T> many_scores{Random(33).table(3 * rows, 2)};
  Tensor<T> offset_score{Random(34).table(rows, 3)};
  Tensor<T> one_input{Random(35).table(rows / 2, 3)};
  Tensor<T> two_scores{Random(36).table(rows, 2)};
  Tensor<double> weights{positive(Random(37).numbers(rows))};
  Tensor<double> coefficients{Random(38).numbers(rows)};
  Parameters parameters{test_context()};
  std::vector<Segment> segments;

  Padded() {
    for (Tensor<T>* tensor :
         {&weight, &bias, &shared, &shared_bias, &offset, &drawn, &drawn_bias}) {
      segments.push_back(parameters.add(tensor->view()));
    }
  }

  /// Rows of weight 0 with `value` in them, or what they held.
  void leave_out(const std::vector<std::size_t>& which, double value) {
    const auto number = static_cast<T>(value);
    for (std::size_t n : which) {
      weights(n) = 0;
      if (std::isfinite(value)) continue;
      coefficients(n) = value;
      input(n, 1) = score(n, 0) = offset_score(n, 2) = two_scores(n, 1) = number;
      many_inputs(3 * n + 1, 0) = many_scores(3 * n + 2, 1) = number;
      // Of rows that share an input it is theirs where all are left out.
      const std::size_t other = n ^ 1;
      if (std::find(which.begin(), which.end(), other) != which.end()) {
        one_input(n / 2, 2) = number;
      }
    }
  }

  LayerScores scores(Centering centering, std::int64_t first = 0, std::int64_t count = rows) {
    LayerScores all(parameters);
    all.begin({.samples = count,
               .batch_samples = rows,
               .weights = weights.view().row_range(first, count),
               .coefficients = coefficients.view().row_range(first, count),
               .centering = centering});
    all.add({.weight = segments[0],
             .bias = segments[1],
             .input = input.view().row_range(first, count),
             .output_score = score.view().row_range(first, count)});
    all.add({.weight = segments[2],
             .bias = segments[3],
             .input = many_inputs.view().row_range(3 * first, 3 * count),
             .output_score = many_scores.view().row_range(3 * first, 3 * count),
             .terms = 3});
    all.add({.bias = segments[4], .output_score = offset_score.view().row_range(first, count)});
    all.add({.weight = segments[5],
             .bias = segments[6],
             .input = one_input.view().row_range(first / 2, count / 2),
             .output_score = two_scores.view().row_range(first, count),
             .rows_per_input = 2});
    return all;
  }
  Tensor<T> vector() const { return zeros<T>(parameters.size()); }

  /// g, directions of every structure and form, and of a batch in parts.
  std::vector<Numbers> results(Centering centering) {
    std::vector<Numbers> all;
    const LayerScores whole = scores(centering);
    Tensor<T> out = vector();
    whole.gradient(out.view());
    all.push_back(out.numbers());
    for (Structure structure : {Structure::full, Structure::block_diagonal, Structure::diagonal}) {
      for (Form form : {Form::primal, Form::dual}) {
        if (structure == Structure::diagonal && form == Form::dual) continue;
        for (int refinement : {0, 1}) {
          const bool dual = form == Form::dual && structure == Structure::full;
          if (refinement > 0 && !dual) continue;
          NaturalGradient optimizer(parameters, {.momentum = NoMomentum{},
                                                 .structure = structure,
                                                 .form = form,
                                                 .refinement = refinement});
          optimizer.direction(whole, out.view());
          EXPECT_EQ(optimizer.direction_report().outcome, Outcome::accepted)
              << to_string(structure) << ", " << to_string(form);
          all.push_back(out.numbers());
        }
        FisherMatrix fisher(parameters, {.structure = structure, .form = form});
        for (std::int64_t first : {0, 8}) {
          fisher.accumulate(scores(centering, first, first == 0 ? 8 : 4));
        }
        fisher.solve(Coefficients{}, out.view());
        all.push_back(out.numbers());
      }
    }
    return all;
  }
};

template <class T>
void check_left_out(const std::vector<std::size_t>& rows, double tolerance) {
  for (Centering centering : {Centering::none, Centering::rows}) {
    Padded<T> finite;
    finite.leave_out(rows, 0);
    const std::vector<Numbers> expected = finite.results(centering);
    for (double value : {nan, -inf}) {
      Padded<T> padded;
      padded.leave_out(rows, value);
      const std::vector<Numbers> actual = padded.results(centering);
      ASSERT_EQ(actual.size(), expected.size());
      for (std::size_t i = 0; i < actual.size(); ++i) {
        EXPECT_LE(relative_error(actual[i], expected[i]), tolerance)
            << "result " << i << ", rows of " << value;
      }
    }
  }
}

TEST(columns, rows_of_weight_0_that_are_not_finite_are_left_out) {
  for (const std::vector<std::size_t>& rows :
       std::vector<std::vector<std::size_t>>{{10, 11}, {3}, {4, 5, 9}, {1, 2, 3, 4, 5, 6, 7, 8}}) {
    SCOPED_TRACE(testing::Message() << rows.size() << " rows from " << rows.front());
    check_left_out<double>(rows, 1e-12);
    check_left_out<float>(rows, 1e-4);
  }
}

TEST(columns, rows_of_weight_0_are_not_named_as_not_finite) {
  Padded<double> padded;
  padded.leave_out({2, 3}, nan);
  padded.score(7, 1) = inf;
  Tensor<double> given(Numbers(static_cast<std::size_t>(padded.parameters.size()), 1.0));
  EXPECT_EQ(padded.scores(Centering::none).check(given.view()).text,
            "nothing to compare: " + padded.parameters.name(padded.segments[0]) +
                ": .output_score is inf at row 7 (term 0, column 1)");
}

TEST(columns, finite_rows_of_weight_0_add_nothing) {
  Padded<double> padded;
  padded.leave_out({10, 11}, 0);
  const Numbers d = padded.results(Centering::none)[1];
  padded.input(11, 1) = 1e6;
  padded.score(10, 0) = -1e6;
  padded.coefficients(11) = 1e6;
  EXPECT_LE(relative_error(padded.results(Centering::none)[1], d), 1e-12);
}

}  // namespace

}  // namespace natgrad::tests
