#include "curvature/damping_units.hpp"

#include "natgrad/natgrad.hpp"
#include "support/device.hpp"
#include "support/plain.hpp"
#include "support/structured.hpp"
#include "support/tolerance.hpp"
#include "support/uses.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

// Damping in the units of the parameters: (F + lambda D) d = g with D written plainly, in double.

namespace natgrad::tests {

namespace {

/// F and g of the rows, from a matrix damped in one unit.
struct Plain {
  Table F;
  Numbers g;

  explicit Plain(Rows& rows, bool in_parts = false) {
    FisherMatrix full =
        rows.matrix({.form = Form::primal, .damping = {.absolute = lambda}}, in_parts);
    F = dense_of(full);
    const Numbers d = solved(full);
    g = sum(lambda, d, multiply(F, d));
  }
};

struct Way {
  Structure structure;
  Form form;
  DampingScaling scaling;
  bool dense;
  int refinement = 0;
};

std::vector<Way> ways() {
  std::vector<Way> all;
  for (Structure structure : {Structure::full, Structure::block_diagonal}) {
    for (bool dense : {false, true}) {
      for (Form form : {Form::primal, Form::dual}) {
        all.push_back({structure, form, DampingScaling::tensor, dense});
        if (form == Form::primal || dense) {
          all.push_back({structure, form, DampingScaling::diagonal, dense});
        }
      }
      all.push_back({structure, Form::dual, DampingScaling::tensor, dense, 2});
    }
  }
  return all;
}

std::string text(const Way& way) {
  return std::string(to_string(way.structure)) + ", " + to_string(way.form) + ", " +
         to_string(way.scaling) + (way.dense ? ", dense" : "") +
         (way.refinement > 0 ? ", refined" : "");
}

TEST(damping_units, both_forms_solve_the_scaled_system) {
  for (const std::vector<Use>& uses : nets) {
    for (const Way& way : ways()) {
      for (bool in_parts : {false, true}) {
        SCOPED_TRACE(text(way) + (in_parts ? ", in parts" : ""));
        Rows rows(uses);
        rows.as_dense = way.dense;
        const Plain plain(rows, in_parts);
        const Parameters& parameters = rows.used.parameters;
        ParameterGroups groups = one_group(parameters);
        if (way.structure != Structure::full) groups = each_segment(parameters);
        const Table F = within_groups(plain.F, parameters, groups);
        const Numbers D = units_of(F, parameters, way.scaling);
        FisherMatrix fisher =
            rows.matrix({.structure = way.structure,
                         .groups = way.structure == Structure::full ? ParameterGroups{} : groups,
                         .form = way.form,
                         .damping = {.absolute = lambda, .scaling = way.scaling},
                         .refinement = way.refinement},
                        in_parts);
        EXPECT_EQ(fisher.form(), way.form);
        const Numbers d = solve_shifted(F, times(lambda, D), plain.g);
        EXPECT_TRUE(relative_error_within(solved(fisher), d, same));
        const SolveReport report = fisher.report();
        EXPECT_EQ(report.damping, lambda);
        EXPECT_TRUE(report.residual <= same);
        EXPECT_TRUE(report.error_bound <= same);
        const double square = dot(d, multiply(F, d));
        EXPECT_TRUE(within(report.quadratic_form, square, 10 * same * square));
        // Looking at F between solves shows it in its own units.
        const Table seen = dense_of(fisher);
        EXPECT_TRUE(relative_error_within(seen.elements, F.elements, same));
        const Numbers other = Random(8).numbers(d.size());
        EXPECT_TRUE(relative_error_within(solved(fisher, &other),
                                          solve_shifted(F, times(lambda, D), sum(-3, other, other)),
                                          100 * same));
        fisher.set_damping({.absolute = 2 * lambda, .scaling = way.scaling});
        EXPECT_TRUE(relative_error_within(solved(fisher),
                                          solve_shifted(F, times(2 * lambda, D), plain.g), same));
      }
    }
  }
}

TEST(damping_units, rows_that_are_added_after_a_solve_count) {
  Rows rows(nets.front());
  for (Form form : {Form::primal, Form::dual}) {
    FisherMatrix fisher(rows.used.parameters,
                        {.form = form,
                         .damping = {.absolute = lambda, .scaling = DampingScaling::tensor},
                         .samples = samples});
    fisher.accumulate(rows.part(0, 6));
    static_cast<void>(solved(fisher));
    fisher.accumulate(rows.part(6, samples - 6));
    const Plain plain(rows, true);
    const Numbers D = units_of(plain.F, rows.used.parameters, DampingScaling::tensor);
    EXPECT_TRUE(relative_error_within(solved(fisher),
                                      solve_shifted(plain.F, times(lambda, D), plain.g), same));
  }
}

TEST(damping_units, relative_damping_is_of_the_scaled_trace) {
  Rows rows(nets.front());
  const auto p = static_cast<double>(rows.size());
  for (Form form : {Form::primal, Form::dual}) {
    FisherMatrix fisher = rows.matrix(
        {.form = form,
         .damping = {.absolute = 0.1, .relative = 0.5, .scaling = DampingScaling::tensor}});
    static_cast<void>(solved(fisher));
    const double expected = 0.1 + 0.5 * p / std::min(p, static_cast<double>(samples));
    EXPECT_TRUE(within(fisher.report().damping, expected, same));
  }
}

/// The direction of dense rows whose columns are measured in other units, taken back to the first.
Numbers direction_in(Rows& rows, const Numbers& units, const FisherMatrix::Options& options) {
  rows.measure_in(units);
  FisherMatrix fisher = rows.matrix(options);
  Numbers d = solved(fisher);
  for (std::size_t i = 0; i < d.size(); ++i) d[i] *= units[i];
  return d;
}

// theta_i / c in place of theta_i: its column of S is c times as long, and so is the step in it
// that many times shorter.
TEST(damping_units, the_direction_does_not_depend_on_units) {
  for (DampingScaling scaling : {DampingScaling::tensor, DampingScaling::diagonal}) {
    for (Form form : {Form::primal, Form::dual}) {
      SCOPED_TRACE(testing::Message() << to_string(scaling) << ", " << to_string(form));
      Rows rows(nets.front());
      rows.as_dense = true;
      Numbers units(rows.size(), 1.0);
      const FisherMatrix::Options options{.form = form,
                                          .damping = {.absolute = lambda, .scaling = scaling}};
      const Numbers before = direction_in(rows, units, options);
      if (scaling == DampingScaling::tensor) {
        const Parameters& parameters = rows.used.parameters;
        const auto first = static_cast<std::size_t>(parameters.offset({2}));
        const auto count = static_cast<std::size_t>(parameters.tensor({2}).size());
        for (std::size_t i = first; i < first + count; ++i) units[i] = 1e3;
      } else {
        units[0] = 1e3;
        units[7] = 1e-3;
        units[25] = 20;
      }
      EXPECT_TRUE(relative_error_within(direction_in(rows, units, options), before, 1e-10));
      const FisherMatrix::Options plain{.form = form, .damping = {.absolute = lambda}};
      const Numbers other = direction_in(rows, units, plain);
      EXPECT_FALSE(relative_error_within(other, before, 1e-2));
    }
  }
}

TEST(damping_units, one_unit_of_all_tensors_is_another_lambda) {
  // Rows of one length in all their columns: every D is the same.
  Rows rows(nets.front());
  rows.as_dense = true;
  rows.weights = Tensor<double>(Numbers(samples, 0.25));
  for (std::size_t n = 0; n < samples; ++n) {
    for (std::size_t i = 0; i < rows.size(); ++i) {
      rows.formed(n, i) = rows.formed_numbers(n, i) > 0 ? 1 : -1;
    }
  }
  constexpr double D = samples * 0.25;
  for (Form form : {Form::primal, Form::dual}) {
    FisherMatrix plain = rows.matrix({.form = form, .damping = {.absolute = lambda * D}});
    const Numbers expected = solved(plain);
    for (DampingScaling scaling : {DampingScaling::tensor, DampingScaling::diagonal}) {
      FisherMatrix fisher =
          rows.matrix({.form = form, .damping = {.absolute = lambda, .scaling = scaling}});
      EXPECT_TRUE(relative_error_within(solved(fisher), expected, 1e-12));
    }
  }
}

/// Rows that know nothing of the last segment; of the second a bias whose terms cancel.
struct Silent {
  Tensor<double> w{Table(2, 3)};
  Tensor<double> b{Numbers(2, 0.0)};
  Tensor<double> unused{Numbers(4, 0.0)};
  Tensor<double> input{Random(1).table(2 * samples, 3)};
  Tensor<double> output{Random(2).table(2 * samples, 2)};
  Parameters parameters{test_context()};
  LayerScores scores{parameters};

  explicit Silent(bool cancels) {
    const Segment weight = parameters.add(w.view());
    const Segment bias = parameters.add(b.view());
    parameters.add(unused.view());
    for (std::size_t n = 0; cancels && n < samples; ++n) {
      for (std::size_t i = 0; i < 2; ++i) output(2 * n + 1, i) = -output(2 * n, i);
    }
    scores.begin({.samples = samples, .weight = 1});  // whose root is exact
    scores.add({.weight = weight,
                .bias = bias,
                .input = input.view(),
                .output_score = output.view(),
                .terms = 2});
  }
};

TEST(damping_units, parameters_without_a_unit_get_no_step) {
  for (Structure structure : {Structure::full, Structure::block_diagonal}) {
    for (Form form : {Form::primal, Form::dual}) {
      for (bool cancels : {false, true}) {
        SCOPED_TRACE(testing::Message()
                     << to_string(structure) << ", " << to_string(form) << ", " << cancels);
        Silent rows(cancels);
        const Numbers g = Random(3).numbers(12);
        const Damping damping{.absolute = lambda, .scaling = DampingScaling::tensor};
        FisherMatrix fisher(rows.parameters,
                            {.structure = structure, .form = form, .damping = damping});
        fisher.accumulate(rows.scores);
        for (const Numbers& d : {solved(fisher), solved(fisher, &g)}) {
          for (std::size_t i = 8; i < 12; ++i) EXPECT_EQ(d[i], 0);
          for (std::size_t i = 6; i < 8; ++i) EXPECT_EQ(d[i] == 0, cancels);
          for (std::size_t i = 0; i < 6; ++i) EXPECT_TRUE(std::isfinite(d[i]) && d[i] != 0);
        }
        FisherMatrix plain(rows.parameters, {.form = Form::primal});
        plain.accumulate(rows.scores);
        Table F = dense_of(plain);
        const Numbers D = units_of(F, rows.parameters, DampingScaling::tensor);
        // The rows that are zero need a shift of any size.
        Numbers shift = times(lambda, D);
        for (double& value : shift) value = value == 0 ? 1 : value;
        Numbers own = sum(-3, g, g);
        for (std::size_t i = 0; i < 12; ++i) own[i] = D[i] == 0 ? 0 : own[i];
        if (structure == Structure::full) {
          EXPECT_TRUE(
              relative_error_within(solved(fisher, &g), solve_shifted(F, shift, own), 100 * same));
        }
      }
    }
  }
}

TEST(damping_units, rows_that_are_not_finite_are_an_outcome) {
  for (Form form : {Form::primal, Form::dual}) {
    for (DampingScaling scaling : {DampingScaling::tensor, DampingScaling::diagonal}) {
      Rows rows(nets.front());
      rows.as_dense = true;
      rows.formed(3, 4) = std::nan("");
      FisherMatrix fisher = rows.matrix({.form = form, .damping = {.scaling = scaling}});
      Tensor<double> d(Numbers(rows.size(), 5.0));
      fisher.solve(Coefficients{}, d.view());
      EXPECT_EQ(fisher.report().outcome, Outcome::not_finite);
      EXPECT_EQ(d.numbers(), Numbers(rows.size(), 5.0));
    }
  }
}

TEST(damping_units, diagonal_scaling_takes_the_primal_form_of_layers) {
  Rows rows(nets.front());
  const FisherMatrix::Options options{.damping = {.scaling = DampingScaling::diagonal}};
  EXPECT_EQ(rows.matrix(options).form(), Form::primal);
}

/// Dense rows have the units in both forms, so that sizes decide as without them.
TEST(damping_units, diagonal_scaling_leaves_the_form_of_dense_rows_to_their_sizes) {
  Rows rows(nets.front());
  ASSERT_GT(static_cast<std::int64_t>(rows.size()), samples);
  rows.as_dense = true;
  Tensor<double> g(Random(9).numbers(rows.size()));
  Numbers directions[2];
  for (Form form : {Form::automatic, Form::primal}) {
    FisherMatrix fisher = rows.matrix(
        {.form = form, .damping = {.absolute = lambda, .scaling = DampingScaling::diagonal}});
    EXPECT_EQ(fisher.form(), form == Form::automatic ? Form::dual : Form::primal);
    Tensor<double> d = zeros<double>(fisher.size());
    fisher.solve(Gradient{g.view()}, d.view());
    EXPECT_EQ(fisher.report().outcome, Outcome::accepted);
    directions[form == Form::automatic ? 0 : 1] = d.numbers();
  }
  EXPECT_TRUE(relative_error_within(directions[0], directions[1], same));

  Tensor<double> theta = zeros<double>(2);
  Parameters two(test_context());
  two.add(theta.view());
  Tensor<double> narrow(Random(6).table(samples, 2));
  DenseScores scores(two);
  scores.begin(narrow.view());
  FisherMatrix fisher(two, {.damping = {.scaling = DampingScaling::diagonal}});
  fisher.accumulate(scores);
  EXPECT_EQ(fisher.form(), Form::primal);
}

TEST(damping_units, what_does_not_go_together_is_refused) {
  Rows rows(nets.front());
  const Parameters& parameters = rows.used.parameters;
  const auto error = [](const auto& call) -> std::string {
    try {
      call();
    } catch (const OptionError& wrong) {
      return wrong.what();
    }
    return "";
  };
  for (DampingScaling scaling : {DampingScaling::tensor, DampingScaling::diagonal}) {
    EXPECT_NE(error([&] {
                FisherMatrix(parameters,
                             {.structure = Structure::diagonal, .damping = {.scaling = scaling}});
              }).find("DampingScaling::identity"),
              std::string::npos);
    FisherMatrix fisher(parameters, {.damping = {.scaling = scaling}});
    EXPECT_NE(error([&] { fisher.set_damping({.absolute = 1}); }).find("set_damping"),
              std::string::npos);
    rows.dense.begin(rows.formed.view(),
                     {.coefficients = rows.coefficients.view(), .centering = Centering::rows});
    EXPECT_NE(error([&] { fisher.accumulate(rows.dense); }).find("centred"), std::string::npos);
    EXPECT_EQ(fisher.samples(), 0);
  }
  FisherMatrix dual(parameters,
                    {.form = Form::dual, .damping = {.scaling = DampingScaling::diagonal}});
  EXPECT_NE(error([&] { dual.accumulate(rows.part(0, samples)); }).find("Form::primal"),
            std::string::npos);
  EXPECT_NE(error([&] {
              FisherMatrix(parameters, {.damping = {.scaling = static_cast<DampingScaling>(3)}});
            }).find(".damping.scaling"),
            std::string::npos);
}

}  // namespace

}  // namespace natgrad::tests
