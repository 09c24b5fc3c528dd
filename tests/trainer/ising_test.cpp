#include "support/sanitized.hpp"
#include "support/trainer_runs.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <string>

// The task ising: exact sums and Markov chains, and what is wrong with a chain.

namespace natgrad::tests {

namespace {

using trainer_ising = Trainer;

/// The step at whose evaluation the energy first came so near; 0: never.
int step_within(const Result& result, double bound) {
  for (const json& line : result.metrics) {
    if (line.contains("relative_error") && line.at("relative_error") <= bound) {
      return line.at("step");
    }
  }
  return 0;
}

TEST_F(trainer_ising, finds_the_ground_state_by_exact_sums) {
  const std::string chain = sanitized ? " --sites 8" : "";
  const Result result = run_here_with_metrics("ising --threads 1 --steps 70" + chain);
  EXPECT_EQ(result.last().at("outcome"), "accepted");
  if (!sanitized) {
    EXPECT_NEAR(result.last().at("exact_energy"), -20.404594474757, 1e-11);
  }
  EXPECT_GT(result.last().at("relative_error"), 0);
  EXPECT_GT(step_within(result, 1e-4), 0);
  EXPECT_LE(step_within(result, 1e-4), 50);
  EXPECT_GT(step_within(result, 1e-5), 0);
  // The variance of an eigenstate is 0.
  EXPECT_LT(result.last().at("variance"),
            0.1 * result.metrics.front().at("variance").get<double>());
}

TEST_F(trainer_ising, finds_the_ground_state_by_samples) {
  const std::string chain = sanitized ? " --sites 8 --samples 200" : " --sites 12 --samples 500";
  const Result result = run_here_with_metrics("ising --threads 1 --steps 60" + chain);
  EXPECT_GT(step_within(result, 1e-4), 0);
  EXPECT_GT(result.metrics.front().at("energy_error"), 0);
  EXPECT_GT(result.metrics.front().at("acceptance"), 0.3);
  EXPECT_LT(result.metrics.front().at("acceptance"), 1);
}

TEST_F(trainer_ising, takes_every_machine_and_rule) {
  for (const std::string options :
       {"--plain", "--plain --samples 50", "--precision float", "--hidden-density 1 --sites 3",
        "--samples 50 --sites 22", "--optimizer adam --rate 0.01", "--step-rule backtracking",
        "--damping lm:0.001", "--samples 100 --sweeps 3 --step-rule kl", "--structure diagonal"}) {
    SCOPED_TRACE(options);
    const std::string sites = options.find("--sites") == std::string::npos ? " --sites 6 " : " ";
    const Result result = run_here_with_metrics("ising --threads 1 --steps 20" + sites + options);
    EXPECT_LT(result.last().at("relative_error"),
              result.metrics.at(5).at("relative_error").get<double>() + 0.02);
    EXPECT_TRUE(std::isfinite(result.last().at("energy").get<double>()));
  }
}

TEST_F(trainer_ising, goes_on_as_if_it_had_not_stopped) {
  const std::string checkpoint = directory_.file("checkpoint");
  for (const std::string options : {"", "--samples 30", "--samples 30 --precision float --plain"}) {
    SCOPED_TRACE(options);
    const std::string task = "ising --threads 1 --quiet --sites 6 --evaluate-every 4 " + options;
    const Result whole = run_here_with_metrics(task + " --steps 16");
    run_here_with_metrics(task + " --steps 8 --checkpoint " + checkpoint);
    const Result resumed = run_here_with_metrics(task + " --steps 16 --resume " + checkpoint);
    EXPECT_EQ(without_seconds({resumed.last()}), without_seconds({whole.last()}));
  }
}

TEST_F(trainer_ising, says_what_is_wrong_with_a_chain) {
  const std::pair<std::string, std::string> cases[] = {
      {"--sites 1", "--sites 1: a chain has at least 2"},
      {"--sites 0", "--sites 0: expected a whole number"},
      {"--sites 21", "--sites 21: exact sums hold at most 20, needs --samples"},
      {"--sites 17 --plain", "--sites 17: exact sums with --plain hold at most 16"},
      {"--field 0", "--field 0: expected a number > 0"},
      {"--sweeps 2", "--sweeps: has no meaning without --samples"},
      {"--fisher exact", "--fisher: has no meaning with ising"},
      {"--samples 10 --step-rule backtracking", "--samples: step rule and damping compare"}};
  for (const auto& [options, error] : cases) {
    SCOPED_TRACE(options);
    const Result result = run_here("ising " + options);
    EXPECT_EQ(result.code, 2);
    EXPECT_NE(result.errors.find(error), std::string::npos) << result.errors;
  }
}

TEST_F(trainer_ising, reports_chains_that_are_frozen) {
  const Result result =
      run_here("ising --threads 1 --sites 4 --field 1e-6 --samples 8 --rate 100 --steps 30");
  EXPECT_EQ(result.code, 3);
  EXPECT_NE(result.errors.find("the Markov chains are frozen: none of 32 proposals was accepted at "
                               "step "),
            std::string::npos)
      << result.errors;
}

}  // namespace

}  // namespace natgrad::tests
