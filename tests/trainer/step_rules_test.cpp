#include "support/likelihood_tables.hpp"
#include "support/trainer_runs.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

// Rules that measure loss and KL divergence of what they try, in every task.

namespace natgrad::tests {
namespace {

class StepRules : public Trainer {
 protected:
  /// A line for each step.
  std::vector<json> steps_of(const std::string& arguments) {
    std::vector<json> steps;
    for (const json& line : run_here_with_metrics(arguments + " --quiet --threads 1").metrics) {
      if (line.contains("outcome") && !line.contains("final")) steps.push_back(line);
    }
    EXPECT_FALSE(steps.empty()) << arguments;
    return steps;
  }

  /// Every task and way to its matrix that a rule compares with, at small sizes and in double.
  std::vector<std::string> runs() {
    const std::string table = directory_.file("table.csv");
    const LikelihoodTable& kind = likelihood_tables[static_cast<int>(Likelihood::poisson)];
    write_file(table, table_of(kind, 60, 3));
    write_mnist();
    const std::string cartpole = "cartpole --batch 128 --environments 4 --hidden 4 --episodes 1";
    const std::string density = "density --samples 100";
    return {"digits --fisher sampled --hidden 4 --weight-decay 0",
            "mnist " + directory_.path() + " --fisher exact --hidden 4",
            "csv " + table + " --target poisson --likelihood poisson --hidden 4",
            cartpole,
            cartpole + " --fisher exact",
            cartpole + " --fisher-draws 2",
            density,
            density + " --parameterization natural --fisher sampled",
            density + " --dimensions 2",
            density + " --density mixture",
            density + " --density mixture --dimensions 2 --fisher sampled",
            density + " --density exponential --batch 40"};
  }

  static constexpr const char* few_steps = " --precision double --steps 3";
};

using trainer_step_rules = StepRules;

// What the loss falls by, to first order in the rate, is what the gradient promises: the loss is
// that whose gradient the step takes, the surrogate of cartpole too.
TEST_F(trainer_step_rules, backtracking_measures_the_loss_of_the_gradient_in_every_task) {
  for (const std::string& run : runs()) {
    SCOPED_TRACE(run);
    for (const json& line :
         steps_of(run + " --step-rule backtracking --rate 1e-4 --momentum 0" + few_steps)) {
      EXPECT_EQ(line["outcome"], "accepted");
      EXPECT_EQ(line["trials"], 1);
      EXPECT_LT(line["loss_after"], line["loss_before"]);
      EXPECT_NEAR(line["reduction_ratio"].get<double>(), 1, 0.01);
      if (line.contains("loss")) {
        EXPECT_NEAR(line["loss_before"].get<double>(), line["loss"].get<double>(), 1e-9);
      }
    }
  }
}

TEST_F(trainer_step_rules, backtracking_goes_from_its_default_rate_in_every_task) {
  for (const std::string& run : runs()) {
    SCOPED_TRACE(run);
    for (const json& line : steps_of(run + " --step-rule backtracking --momentum 0" + few_steps)) {
      EXPECT_EQ(line["outcome"], "accepted");
      EXPECT_LT(line["loss_after"], line["loss_before"]);
    }
  }
}

TEST_F(trainer_step_rules, trials_hold_the_divergence_within_the_radius_in_every_task) {
  for (const std::string& run : runs()) {
    SCOPED_TRACE(run);
    // So small a radius lets the quadratic prediction hold for exact rows.
    const bool is_sampled = run.find("sampled") != std::string::npos ||
                            (run.find("cartpole") == 0 && run.find("exact") == std::string::npos);
    for (const json& line : steps_of(run +
                                     " --step-rule kl --kl-radius 1e-6 --trials 4 --rate 100 "
                                     "--momentum 0" +
                                     few_steps)) {
      EXPECT_EQ(line["outcome"], "accepted");
      EXPECT_LE(line["loss_after"], line["loss_before"]);
      EXPECT_LE(line["actual_kl"].get<double>(), 1e-6 * (1 + 1e-3));
      if (is_sampled) continue;
      EXPECT_NEAR(line["actual_kl"].get<double>(), line["predicted_kl"].get<double>(), 2e-8);
    }
  }
}

TEST_F(trainer_step_rules, damping_follows_the_loss_in_every_task) {
  for (const std::string& run : runs()) {
    SCOPED_TRACE(run);
    double before = 0;
    for (const json& line : steps_of(run +
                                     " --step-rule fixed --rate 1e-3 --damping lm:0.5 "
                                     "--momentum 0" +
                                     few_steps)) {
      EXPECT_EQ(line["outcome"], "accepted");
      EXPECT_NEAR(line["reduction_ratio"].get<double>(), 1, 0.05);
      // The model is good at so small a rate, so that lambda falls.
      if (before > 0) {
        EXPECT_NEAR(line["damping"].get<double>(), before * 2 / 3, 1e-12);
      }
      before = line["damping"].get<double>();
    }
  }
}

}  // namespace
}  // namespace natgrad::tests
