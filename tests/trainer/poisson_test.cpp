#include "support/sanitized.hpp"
#include "support/trainer_runs.hpp"

#include <gtest/gtest.h>

#include <string>

// The task poisson: the error after so many steps, and what is wrong with a command line.

namespace natgrad::tests {

namespace {

using trainer_poisson = Trainer;

/// The first step at which an evaluation finds an error of at most `bound`, or a large number.
int first_step_below(const Result& result, double bound) {
  for (const json& line : result.metrics) {
    if (!line.contains("l2_error") || !(line.at("l2_error") <= bound)) continue;
    return line.at("step").get<int>();
  }
  return 1'000'000;
}

TEST_F(trainer_poisson, comes_near_the_exact_solution) {
  const int steps = sanitized ? 80 : 150;
  const Result result =
      run_here_with_metrics("poisson --threads 1 --seed 2 --steps " + std::to_string(steps));
  ASSERT_EQ(result.code, 0);
  EXPECT_LE(first_step_below(result, sanitized ? 1e-3 : 1e-6), steps);
  EXPECT_GT(result.metrics.front().at("loss"), 1);
  EXPECT_EQ(result.last().at("outcome"), "accepted");
}

TEST_F(trainer_poisson, takes_other_problems_and_methods) {
  for (const std::string options :
       {"--dim 3 --solution cos --hidden 8,6 --interior 60 --boundary 30 --resample --form dual",
        "--dim 1 --solution square --interior 20 --boundary 4 --hidden 8 --precision float",
        "--step-rule backtracking --damping 1e-3 --hidden 8 --interior 60 --boundary 20",
        "--step-rule quadratic --damping lm --hidden 8 --interior 60 --boundary 20",
        "--optimizer adam --hidden 8 --interior 60 --boundary 20"}) {
    SCOPED_TRACE(options);
    const Result result = run_here_with_metrics("poisson --threads 1 --steps 20 " + options);
    ASSERT_EQ(result.code, 0);
    EXPECT_LT(result.last().at("loss"), result.metrics.front().at("loss"));
  }
}

TEST_F(trainer_poisson, goes_on_as_if_it_had_not_stopped) {
  const std::string problem =
      "poisson --threads 1 --hidden 6 --interior 30 --boundary 12 --resample --evaluate-every 2 ";
  const std::string file = directory_.file("run");
  const Result whole = run_here_with_metrics(problem + "--steps 8");
  ASSERT_EQ(run_here(problem + "--steps 4 --checkpoint " + file).code, 0);
  const std::string metrics = directory_.file("resumed.jsonl");
  ASSERT_EQ(run_here(problem + "--steps 8 --resume " + file + " --metrics " + metrics).code, 0);
  const json last = read_metrics(metrics).back();
  for (const char* key : {"loss", "l2_error", "damping", "rate"}) {
    EXPECT_EQ(last.at(key), whole.last().at(key)) << key;
  }
}

TEST_F(trainer_poisson, a_plan_holds_what_a_run_takes) {
  const Result result = run_here("poisson --hidden 6,5 --interior 30 --boundary 12 --plan");
  EXPECT_EQ(result.code, 0) << result.errors;
  EXPECT_NE(result.output.find("42 rows"), std::string::npos) << result.output;
  EXPECT_NE(result.output.find("residuals and acceleration"), std::string::npos);
}

TEST_F(trainer_poisson, says_what_is_wrong) {
  expect_one_line_error("poisson --dim 0", 2, "--dim 0: expected a whole number from 1");
  expect_one_line_error("poisson --interior 0", 2, "--interior 0: expected a whole number from 1");
  expect_one_line_error("poisson --boundary 0", 2, "--boundary 0: expected a whole number from 1");
  expect_one_line_error("poisson --dim 2000", 2, ".dimension = 2000");
  expect_one_line_error("poisson --solution tan", 2, "--solution tan: expected sin|cos|square");
  expect_one_line_error("poisson --hidden none", 2, ".hidden is empty");
  expect_one_line_error("poisson --boundary-weight 0", 2, "--boundary-weight 0: expected");
  expect_one_line_error("poisson --fisher exact", 2, "rows of poisson are derivatives");
  expect_one_line_error("digits --fisher residual", 2, "digits has no residuals");
  expect_one_line_error("digits --step-rule geodesic", 2, "needs residuals");
  expect_one_line_error("poisson --step-rule kl", 2, "residuals are of no distribution");
  expect_one_line_error("poisson --damping lm", 2, "no meaning with --step-rule geodesic");
  expect_one_line_error("poisson --damping length:2", 2, "--damping length:2: expected");
  expect_one_line_error("poisson --damping length:1e-3:2:1e-4", 2, "expected a number");
  expect_one_line_error("poisson --trials 0", 2, "tries at least one rate");
  expect_one_line_error("poisson --spring 0.9", 2, "no meaning with --step-rule geodesic");
  expect_one_line_error("poisson --batch 10", 2, "--batch: has no meaning with poisson");
}

}  // namespace

}  // namespace natgrad::tests
