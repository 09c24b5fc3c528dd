#include "support/scalar_examples.hpp"

// The formulas of a solve: every branch of each.

namespace natgrad::tests {

namespace {

constexpr Number damping = [](const Scalars& s) { return s.solve.damping; };
constexpr Number shift = [](const Scalars& s) { return s.solve.shift; };
constexpr Number inverse_shift = [](const Scalars& s) { return s.solve.inverse_shift; };
constexpr Number matrix_finite = [](const Scalars& s) { return s.solve.matrix_finite; };
constexpr Number pivot_ratio = [](const Scalars& s) { return s.solve.pivot_ratio; };
constexpr Number residual = [](const Scalars& s) { return s.solve.residual; };
constexpr Number error_bound = [](const Scalars& s) { return s.solve.error_bound; };
constexpr Number quadratic_form = [](const Scalars& s) { return s.solve.quadratic_form; };
constexpr Number solve_outcome = [](const Scalars& s) { return s.solve.outcome; };
constexpr Number factor = [](const Scalars& s) { return s.factor; };

constexpr auto as_it_is = [](Scalars&) {};

constexpr Number nans_of_solve = [](const Scalars& s) {
  double numbers[sizeof(SolveScalars) / sizeof(double)];
  std::memcpy(numbers, &s.solve, sizeof(numbers));
  double count = 0;
  for (double number : numbers) count += std::isnan(number) ? 1 : 0;
  return count;
};

void add_damping(OperationTable& table) {
  const auto damp = [](MeanRule mean) {
    return [mean](Scalars* at) -> ScalarFormula {
      return formulas::Damp{.solve = &at->solve,
                            .damping = &at->damping,
                            .centering = mean == MeanRule::none ? nullptr : &at->centering,
                            .mean = mean,
                            .rank = 4,
                            .rounding = 0.125};
    };
  };
  add_formula(
      table, "damp", damp(MeanRule::none),
      {{[](Scalars& s) { s.solve.trace = 8, s.solve.damping = nan, s.solve.outcome = 3; },
        {{damping, 0.5 + 2 * 8 / 4},
         {shift, 6},
         {inverse_shift, 1.0 / 6},
         {matrix_finite, 1},
         {pivot_ratio, 1},
         {solve_outcome, 0}}},
       // Not one number is left over from an earlier solve.
       {[](Scalars& s) {
          constexpr std::size_t count = sizeof(SolveScalars) / sizeof(double);
          std::fill_n(reinterpret_cast<double*>(&s.solve), count, nan);
          s.solve.trace = 8;
        },
        {{nans_of_solve, 1},  // the norm
         {matrix_finite, 0},
         {residual, 0},
         {error_bound, 0},
         {quadratic_form, 0},
         {solve_outcome, 0}}},
       {[](Scalars& s) { s.damping.relative = 0; }, {{damping, 0.5}}},
       {[](Scalars& s) { s.solve.trace = -1e-18; }, {{damping, 0.5}, {matrix_finite, 1}}},
       {[](Scalars& s) { s.solve.norm = infinity; }, {{matrix_finite, 0}}},
       {[](Scalars& s) { s.solve.trace = nan; }, {{damping, 0.5}, {matrix_finite, 0}}},
       {[](Scalars& s) { s.solve.trace = -infinity; }, {{damping, 0.5}, {matrix_finite, 0}}},
       {[](Scalars& s) { s.solve.trace = infinity; }, {{damping, infinity}, {matrix_finite, 0}}},
       {[](Scalars& s) { s.damping.absolute = nan; }, {{inverse_shift, 0}, {matrix_finite, 0}}},
       {[](Scalars& s) { s.damping.l2 = 0; }, {{damping, 32.5}, {shift, 32.5}}},
       {[](Scalars& s) { s.damping = {}; },
        {{damping, 0}, {shift, 0}, {inverse_shift, 0}, {matrix_finite, 1}}}});
  // The mean's part of the trace is 16 / 4; what is no larger than 0.125 of it counts as rounding.
  add_formula(
      table, "damp_mean_removed", damp(MeanRule::removed),
      {{[](Scalars& s) { s.solve.trace = 8; }, {{damping, 4.5}}},
       {[](Scalars& s) { s.solve.trace = 0.5; }, {{damping, 0.5}}},
       {[](Scalars& s) { s.solve.trace = 0.625; }, {{damping, 0.5 + 2 * 0.625 / 4}}},
       {[](Scalars& s) { s.solve.trace = 0.5, s.centering.weight = 0; }, {{damping, 0.75}}}});
  add_formula(table, "damp_mean_kept", damp(MeanRule::kept),
              {{[](Scalars& s) { s.solve.trace = 8; }, {{damping, 0.5 + 2 * (8 - 4) / 4}}},
               {[](Scalars& s) { s.solve.trace = 4.5; }, {{damping, 0.5}}},
               {[](Scalars& s) { s.solve.trace = 3; }, {{damping, 0.5}}},
               {[](Scalars& s) { s.solve.trace = 8, s.centering.weight = 0; }, {{damping, 4.5}}}});

  add_formula(table, "pull_to_zero",
              [](Scalars* at) -> ScalarFormula {
                return formulas::PullToZero{&at->solve, &at->damping, &at->factor};
              },
              {{as_it_is, {{factor, -1.5 * 0.25}}},
               {[](Scalars& s) { s.damping.l2 = 0; }, {{factor, 0}}},
               {[](Scalars& s) { s.solve.shift = 0; }, {{factor, 0}}}});
  add_formula(table, "spring_shift",
              [](Scalars* at) -> ScalarFormula {
                return formulas::SpringShift{&at->solve, 0.75, &at->factor};
              },
              {{as_it_is, {{factor, 3}}}, {[](Scalars& s) { s.solve.shift = 0; }, {{factor, 0}}}});
}

void add_centering(OperationTable& table) {
  constexpr Number scale = [](const Scalars& s) { return s.centering.scale; };
  constexpr Number centre_shift = [](const Scalars& s) { return s.centering.shift; };
  constexpr Number error = [](const Scalars& s) { return s.centering.error; };
  add_formula(
      table, "drop_rounding",
      [](Scalars* at) -> ScalarFormula {
        return formulas::DropRounding{&at->centering.coefficients, &at->centering.shift, 0.25,
                                      &at->factor};
      },
      // Rounding is a quarter of |r|.
      {{[](Scalars& s) { s.centering.coefficients = 16, s.centering.shift = 1; }, {{factor, 0}}},
       {[](Scalars& s) { s.centering.coefficients = 16, s.centering.shift = 1.5; }, {{factor, 1}}},
       {[](Scalars& s) { s.centering.coefficients = 0, s.centering.shift = 0; }, {{factor, 0}}},
       {[](Scalars& s) { s.centering.shift = nan; }, {{factor, 1}}}});
  add_formula(table, "center_factors",
              [](Scalars* at) -> ScalarFormula { return formulas::CenterFactors{&at->centering}; },
              {{as_it_is, {{scale, 0.5}, {centre_shift, -0.25}, {error, 0.75}}},
               {[](Scalars& s) { s.centering.weight = 0; }, {{scale, 0}, {centre_shift, 0}}}});
  add_formula(
      table, "center_fisher",
      [](Scalars* at) -> ScalarFormula {
        return formulas::CenterFisher{&at->solve, &at->centering};
      },
      {{as_it_is, {{scale, 4 / (4 * 0.5)}, {centre_shift, -8}, {error, 0.5 * 3 / 0.5}}},
       {[](Scalars& s) { s.centering.weight = 0; }, {{scale, 1}, {centre_shift, -4}, {error, 3}}},
       {[](Scalars& s) { s.centering.coefficients = 0; },
        {{scale, infinity}, {centre_shift, -infinity}, {error, 0}}},
       {[](Scalars& s) { s.solve.shift = 0; }, {{scale, infinity}}},
       {[](Scalars& s) { s.solve.residual_square = 0; }, {{scale, 2}, {error, 0}}}});
}

/// n = 4, and a matrix is singular where the smallest scaled pivot is (4 + 32) * 2^-12 or less and
/// the shift is at the rounding of the diagonal.
std::function<ScalarFormula(Scalars*)> judge(BoundRule bound, MeanRule mean = MeanRule::none,
                                             bool starts = false) {
  return [=](Scalars* at) -> ScalarFormula {
    return formulas::JudgeSolve{.solve = &at->solve,
                                .centering = &at->centering,
                                .bound = bound,
                                .mean = mean,
                                .size = 4,
                                .epsilon = 0x1p-10,
                                .rounding = 0x1p-20,
                                .storage = 0x1p-21,
                                .scalar_epsilon = 0x1p-12,
                                .starts = starts};
  };
}

/// A solution y of |y| = 3 to |b| = 2, of a d with |d| = 64.
void lengths(Scalars& s) {
  s.solve.solution_square = 9;
  s.solve.gradient_square = 0;
  s.solve.direction_square = 64 * 64;
}
/// What they bound d by where the shift is 4.
double by_lengths(double of_matrix, double of_rhs, double of_sum) {
  return 0x1p-10 * (8 + ((of_matrix + of_rhs) / (2 * 2) + of_sum) / 64);
}

void add_bounds(OperationTable& table) {
  // The amplification is at least 8; rounding is in every bound.
  constexpr double own = 0x1p-20;
  constexpr double amplified = 16 * 0x1p-10;
  constexpr double cancelled = amplified * 3 / (4 * 0.5);
  constexpr double certified = 0.5 / (2 * 2 * 0.5);
  const auto add = [&](const std::string& name, BoundRule rule, std::vector<Example> examples) {
    // Where bounds are infinite, zero, or not a number.
    for (auto change :
         {+[](Scalars& s) { s.solve.norm = 9; }, +[](Scalars& s) { s.solve.shift = 0; },
          +[](Scalars& s) { s.solve.gradient_square = 0; },
          +[](Scalars& s) { s.solve.direction_square = 0; },
          +[](Scalars& s) { s.solve.residual_square = 0; },
          +[](Scalars& s) { s.solve.pivot_ratio = nan; }}) {
      examples.push_back({change});
    }
    add_formula(table, "judge_solve_" + name, judge(rule), examples);
  };
  add("push_through", BoundRule::push_through,
      {{as_it_is, {{error_bound, own + amplified}}},
       {[](Scalars& s) { s.solve.norm = 48; }, {{error_bound, own + 12 * 0x1p-10}}},
       {[](Scalars& s) { s.solve.inverse_norm = 10.0 / 256; }, {{error_bound, own + 10 * 0x1p-10}}},
       {[](Scalars& s) { s.solve.inverse_norm = 1; }, {{error_bound, own + amplified}}},
       {[](Scalars& s) { s.solve.inverse_norm = 1e-3; }, {{error_bound, own + 8 * 0x1p-10}}},
       {[](Scalars& s) { s.solve.shift = 256; }, {{error_bound, own + 8 * 0x1p-10}}},
       {[](Scalars& s) { s.solve.shift = 0; }, {{error_bound, infinity}}},
       {[](Scalars& s) { s.solve.shift = 0, s.solve.inverse_norm = 0.125; },
        {{error_bound, own + 32 * 0x1p-10}}},
       // |K| |y| / (2 sqrt(shift)) and less of |b| and the sum, all by |d| = 64.
       {[](Scalars& s) { lengths(s); }, {{error_bound, own + by_lengths(64 * 3, 2, 8 * 3)}}},
       {[](Scalars& s) { lengths(s), s.solve.rhs_square = 0; },
        {{error_bound, own + by_lengths(64 * 3, 0, 8 * 3)}}},
       {[](Scalars& s) { lengths(s), s.solve.direction_square = 0; },
        {{error_bound, own + amplified}}},
       {[](Scalars& s) { lengths(s), s.solve.direction_square = nan; },
        {{error_bound, own + amplified}}},
       {[](Scalars& s) { lengths(s), s.solve.solution_square = 0; },
        {{error_bound, own + amplified}}}});
  add("any_gradient", BoundRule::any_gradient,
      {{as_it_is, {{error_bound, own + cancelled}}},
       {[](Scalars& s) { s.solve.gradient_square = 0; }, {{error_bound, own}}},
       // As above with |g| = 50 and |S g| <= 8 |g|, over the shift, which is 4.
       {[](Scalars& s) { lengths(s), s.solve.gradient_square = 2500; },
        {{error_bound, own + (by_lengths(64 * 3, 8 * 50, 8 * 3 + 50) - 8 * 0x1p-10) / 4}}}});
  add("parameter_space", BoundRule::parameter_space,
      {{as_it_is, {{error_bound, own + 4 * amplified}}}});
  add("refined", BoundRule::refined,
      {{as_it_is, {{error_bound, own + certified + amplified}}},
       {[](Scalars& s) { s.solve.residual_square = 0; }, {{error_bound, own + amplified}}},
       {[](Scalars& s) { s.solve.shift = 0; }, {{error_bound, infinity}}}});
  add("refined_any_gradient", BoundRule::refined_any_gradient,
      {{as_it_is, {{error_bound, own + certified / 4 + cancelled}}}});
  add("refined_fisher_only", BoundRule::refined_fisher_only,
      {{as_it_is, {{error_bound, own + certified + amplified + 0.75}}}});
  // Taking out the mean leaves the rounding of 16 / 4 more, and pivots say nothing of it.
  add_formula(table, "judge_solve_mean_removed", judge(BoundRule::push_through, MeanRule::removed),
              {{as_it_is, {{error_bound, own + 17 * 0x1p-10}}},
               {[](Scalars& s) { s.solve.pivot_ratio = 0.4; }, {{error_bound, own + 17 * 0x1p-10}}},
               {[](Scalars& s) { s.centering.weight = 0; }, {{error_bound, own + amplified}}},
               // Pivots below 36 * 2^-12 of the mean's part, which is 4, are rounding.
               {[](Scalars& s) { s.solve.pivot = 36 * 0x1p-10; }, {{solve_outcome, 3}}},
               {[](Scalars& s) { s.solve.pivot = 37 * 0x1p-10; }, {{solve_outcome, 0}}}});
  add_formula(table, "judge_solve_start", judge(BoundRule::push_through, MeanRule::none, true),
              {{as_it_is, {{error_bound, own + amplified}}},
               {[](Scalars& s) { lengths(s), s.solve.shift = 1; },
                {{error_bound,
                  own + 0x1p-10 * (8 + ((64 * 3 + 2 + 8 * (64 + 8 * 3)) / 2.0 + 8 * 3) / 64)}}}});
  add_formula(table, "judge_solve_mean_kept", judge(BoundRule::push_through, MeanRule::kept),
              {{as_it_is, {{error_bound, own + amplified}}},
               // d is scaled after the solve, and lengths tell nothing of it.
               {[](Scalars& s) { lengths(s); }, {{error_bound, own + amplified}}}});
}

void add_outcomes(OperationTable& table) {
  add_formula(
      table, "judge_solve_outcome", judge(BoundRule::push_through),
      {{[](Scalars& s) { s.solve.outcome = 3; }, {{solve_outcome, 0}, {residual, 0.25}}},
       {[](Scalars& s) { s.solve.matrix_finite = 0; }, {{solve_outcome, 2}}},
       {[](Scalars& s) { s.solve.rhs_square = nan; }, {{solve_outcome, 2}}},
       {[](Scalars& s) { s.solve.rhs_square = infinity; }, {{solve_outcome, 2}}},
       {[](Scalars& s) { s.solve.info = 3; }, {{solve_outcome, 3}}},
       {[](Scalars& s) { s.solve.matrix_finite = 0, s.solve.info = 3; }, {{solve_outcome, 2}}},
       {[](Scalars& s) { s.solve.pivot = 0; }, {{solve_outcome, 3}}},
       // The smallest scaled pivot at the level of rounding, 36 * 2^-12, and the shift no larger
       // than the rounding of the diagonal, 4 * 2^-12 * 64 / 4.
       {[](Scalars& s) { s.solve.pivot_ratio = 9 * 0x1p-10, s.solve.shift = 0x1p-6; },
        {{solve_outcome, 3}}},
       {[](Scalars& s) { s.solve.pivot_ratio = 9 * 0x1p-10, s.solve.shift = 0x1p-5; },
        {{solve_outcome, 0}}},
       {[](Scalars& s) { s.solve.pivot_ratio = 10 * 0x1p-10, s.solve.shift = 0x1p-6; },
        {{solve_outcome, 0}}},
       // The residual, relative to the right-hand side where that is not 0.
       {[](Scalars& s) { s.solve.residual_square = 1; }, {{residual, 0.5}, {solve_outcome, 0}}},
       {[](Scalars& s) { s.solve.residual_square = 4; }, {{residual, 1}, {solve_outcome, 3}}},
       {[](Scalars& s) { s.solve.rhs_square = 0; }, {{residual, 0.5}, {solve_outcome, 0}}},
       {[](Scalars& s) { s.solve.residual_square = nan; }, {{residual, nan}, {solve_outcome, 2}}},
       {[](Scalars& s) { s.solve.residual_square = infinity; }, {{solve_outcome, 2}}},
       {[](Scalars& s) { s.solve.info = 2, s.solve.residual_square = nan; },
        {{residual, infinity}, {solve_outcome, 3}}},
       // Refinement that grew: the residual of what was refined.
       {[](Scalars& s) { s.solve.residual_square = nan, s.solve.unrefined_square = 9; },
        {{residual, 1.5}, {solve_outcome, 3}}},
       {[](Scalars& s) { s.solve.residual_square = infinity, s.solve.unrefined_square = 1; },
        {{residual, 0.5}, {solve_outcome, 3}}},
       {[](Scalars& s) { s.solve.residual_square = 36, s.solve.unrefined_square = 9; },
        {{residual, 3}, {solve_outcome, 3}}},
       {[](Scalars& s) { s.solve.residual_square = 1, s.solve.unrefined_square = 9; },
        {{residual, 0.5}, {solve_outcome, 0}}},
       {[](Scalars& s) { s.solve.matrix_finite = 0, s.solve.residual_square = nan; },
        {{residual, nan}, {solve_outcome, 2}}},
       {[](Scalars& s) { s.solve.quadratic_form = -1e-18; },
        {{quadratic_form, 0}, {solve_outcome, 0}}},
       {[](Scalars& s) { s.solve.quadratic_form = infinity; }, {{solve_outcome, 2}}},
       {[](Scalars& s) { s.solve.quadratic_form = nan; }, {{solve_outcome, 2}}}});
}

/// What a formula reads and what it writes lie in arrays of their own.
void add_separate_arrays(OperationTable& table) {
  table.add("evaluate", "separate_arrays", [](TestDevice& device) {
    for (const bool first : {true, false}) {
      constexpr std::int64_t count = sizeof(SolveScalars) / sizeof(double);
      Trial trial(device);
      const Operand block = trial.vector(count, ElementType::float64, Use::input);
      const Operand sum = trial.vector(count, ElementType::float64, Use::both);
      trial.run([&](Backend& backend, const Side& of) {
        backend.evaluate(formulas::AddBlock{
            .block = reinterpret_cast<const SolveScalars*>(of(block).as<double>()),
            .sum = reinterpret_cast<SolveScalars*>(of(sum).as<double>()),
            .first = first});
      });
      trial.expect_rounded(sum, 1);
      if (first) {
        EXPECT_EQ(trial.actual(sum), trial.given(block));
      } else {
        EXPECT_EQ(trial.actual(sum)[1], trial.given(sum)[1] + trial.given(block)[1]) << "trace";
      }
    }
  });
}

void add_blocks(OperationTable& table) {
  constexpr Number norm = [](const Scalars& s) { return s.sum.norm; };
  constexpr Number trace = [](const Scalars& s) { return s.sum.trace; };
  constexpr Number largest_residual = [](const Scalars& s) { return s.sum.residual; };
  constexpr Number largest_bound = [](const Scalars& s) { return s.sum.error_bound; };
  constexpr Number largest_damping = [](const Scalars& s) { return s.sum.damping; };
  constexpr Number form = [](const Scalars& s) { return s.sum.quadratic_form; };
  constexpr Number outcome = [](const Scalars& s) { return s.sum.outcome; };
  for (const bool first : {true, false}) {
    const double sum_of = first ? 0 : 1;
    add_formula(table, first ? "add_first_block" : "add_block",
                [=](Scalars* at) -> ScalarFormula {
                  return formulas::AddBlock{&at->solve, &at->sum, first};
                },
                {{[](Scalars& s) { s.sum.norm = 1, s.sum.damping = 9, s.sum.error_bound = 0.5; },
                  {{norm, 128},
                   {trace, 64 + sum_of * 64},
                   {largest_damping, first ? 2.5 : 9.0},
                   {largest_residual, 0.25},
                   {largest_bound, first ? 0.375 : 0.5},
                   {form, 6 + sum_of * 6},
                   {outcome, 0}}},
                 {[](Scalars& s) { s.solve.outcome = 2; }, {{outcome, 2}}},
                 {[](Scalars& s) { s.solve.matrix_finite = 0; },
                  {{[](const Scalars& s) { return s.sum.matrix_finite; }, 0}}},
                 {[](Scalars& s) { s.sum.outcome = 3; }, {{outcome, first ? 0.0 : 3.0}}},
                 {[](Scalars& s) { s.sum.outcome = 3, s.solve.outcome = 2; },
                  {{outcome, first ? 2.0 : 3.0}}},
                 // What is not a number stays so, whichever block it came from.
                 {[](Scalars& s) { s.solve.residual = s.solve.trace = nan; },
                  {{largest_residual, nan}, {trace, nan}}},
                 {[](Scalars& s) { s.sum.residual = s.sum.norm = nan; },
                  {{largest_residual, first ? 0.25 : nan}, {norm, first ? 128.0 : nan}}}});
  }
}

void add_units(OperationTable& table) {
  constexpr Number inverse_root = [](const Scalars& s) { return s.unit.inverse_root; };
  constexpr Number root = [](const Scalars& s) { return s.unit.root; };
  constexpr Number row_factor = [](const Scalars& s) { return s.unit.row_factor; };
  constexpr Number row_root = [](const Scalars& s) { return s.unit.row_root; };
  constexpr Number pull = [](const Scalars& s) { return s.unit.pull; };
  constexpr Number nans = [](const Scalars& s) {
    double count = 0;
    for (double number : {s.unit.inverse_root, s.unit.root, s.unit.row_factor, s.unit.row_root}) {
      count += std::isnan(number) ? 1 : 0;
    }
    return count;
  };
  const auto unit = [](bool scaled, double l2) {
    return [=](Scalars* at) -> ScalarFormula {
      return formulas::UnitOfTensor{.unit = &at->unit,
                                    .damping = &at->damping,
                                    .scaled = scaled,
                                    .l2 = l2,
                                    .smallest = 0.125};
    };
  };
  add_formula(
      table, "unit_of_tensor", unit(true, 0),
      {{as_it_is, {{inverse_root, 0.5}, {root, 2}, {row_factor, 0.5}, {row_root, 2}, {pull, 0}}},
       // A tensor without a unit keeps its rows and gets no step.
       {[](Scalars& s) { s.unit.diagonal = 0; },
        {{inverse_root, 0}, {root, 0}, {row_factor, 1}, {row_root, 1}, {pull, 0}}},
       {[](Scalars& s) { s.unit.diagonal = 0.0625; }, {{inverse_root, 0}, {root, 0}}},
       {[](Scalars& s) { s.unit.diagonal = nan; }, {{nans, 4}}},
       {[](Scalars& s) { s.unit.diagonal = infinity; }, {{nans, 4}}}});
  // lambda is 0.5, and 6 / 0.5 joins the unit of 4.
  add_formula(table, "unit_of_tensor_penalty", unit(true, 6),
              {{as_it_is, {{inverse_root, 0.25}, {root, 4}, {row_factor, 0.25}, {pull, -0.75}}},
               {[](Scalars& s) { s.unit.diagonal = 0; }, {{inverse_root, 0}, {pull, 0}}}});
  // Not scaled the diagonal is not read.
  add_formula(table, "unit_of_tensor_unscaled", unit(false, 1.5),
              {{[](Scalars& s) { s.unit.diagonal = nan; },
                {{inverse_root, 0.5}, {root, 2}, {pull, -0.75}}}});
}

}  // namespace

void add_solve_scalar_cases(OperationTable& table) {
  add_damping(table);
  add_centering(table);
  add_bounds(table);
  add_outcomes(table);
  add_blocks(table);
  add_units(table);
  add_separate_arrays(table);
}

}  // namespace natgrad::tests
