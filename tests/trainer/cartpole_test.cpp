#include "support/plain.hpp"
#include "support/sanitized.hpp"
#include "support/trainer_runs.hpp"
#include "trainer/control/advantages.hpp"
#include "trainer/control/pole.hpp"
#include "trainer/control/value_function.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

// The task cartpole, and what it is made of.

namespace natgrad::tests {
namespace {

using trainer::PoleEnvironment;
using trainer::PoleState;
using trainer::Transition;
using trainer::ValueFunction;

PoleState random_state(Random& random) {
  return {2 * random(), 2 * random(), 0.2 * random(), 2 * random()};
}

/// The equations of motion of cart and pole (Barto, Sutton, Anderson 1983, appendix), not solved
/// for the accelerations: forces on the whole, and the torque about the hinge of a rod whose moment
/// of inertia is 4/3 m l^2.
TEST(cartpole, moves_by_the_equations_of_motion) {
  constexpr double tau = 0.02, g = 9.8, m = 0.1, l = 0.5, total = 1.1;
  Random random(1);
  for (int i = 0; i < 50; ++i) {
    const PoleState before = random_state(random);
    const bool right = i % 2 == 0;
    const PoleState after = trainer::pushed(before, right);
    EXPECT_DOUBLE_EQ(after[0], before[0] + tau * before[1]);
    EXPECT_DOUBLE_EQ(after[2], before[2] + tau * before[3]);
    const double a = (after[1] - before[1]) / tau;
    const double alpha = (after[3] - before[3]) / tau;
    const double sine = std::sin(before[2]), cosine = std::cos(before[2]);
    EXPECT_NEAR(total * a + m * l * (alpha * cosine - before[3] * before[3] * sine),
                right ? 10 : -10, 1e-11);
    EXPECT_NEAR(4.0 / 3 * l * alpha + a * cosine, g * sine, 1e-11);
  }
}

TEST(cartpole, an_episode_ends_at_the_limits) {
  const double degree = M_PI / 180;
  EXPECT_FALSE(trainer::has_fallen({2.39, 0, 11.9 * degree, 0}));
  EXPECT_TRUE(trainer::has_fallen({2.41, 0, 0, 0}));
  EXPECT_TRUE(trainer::has_fallen({-2.41, 0, 0, 0}));
  EXPECT_TRUE(trainer::has_fallen({0, 0, 12.1 * degree, 0}));
  EXPECT_TRUE(trainer::has_fallen({0, 0, -12.1 * degree, 0}));
}

/// Returns the step that ended the first episode of pushes by `right(state)`.
template <class Right>
PoleEnvironment::Step play(PoleEnvironment& pole, const Right& right) {
  pole.start(0);
  for (;;) {
    const PoleState before = pole.state;
    const std::int64_t length = pole.length;
    const PoleEnvironment::Step step = pole.step(right(before));
    EXPECT_EQ(step.length, length + 1);
    EXPECT_EQ(step.fell, trainer::has_fallen(step.after));
    if (step.ended) return step;
  }
}

TEST(cartpole, an_episode_ends_with_the_fall_or_after_500_steps) {
  for (std::int64_t number = 0; number < 5; ++number) {
    PoleEnvironment pole = {.seed = 3, .number = number};
    const auto always_right = play(pole, [](const PoleState&) { return true; });
    EXPECT_TRUE(always_right.fell);
    EXPECT_LT(always_right.length, 15);
    EXPECT_EQ(pole.episode, 1);
    EXPECT_EQ(pole.length, 0);
    EXPECT_EQ(pole.state, trainer::first_state(3, number, 1));
    const auto balanced = play(
        pole, [](const PoleState& s) { return s[2] + 0.5 * s[3] + 0.02 * s[0] + 0.05 * s[1] > 0; });
    EXPECT_FALSE(balanced.fell);
    EXPECT_EQ(balanced.length, 500);
  }
}

TEST(cartpole, draws_starts_and_actions_of_their_own_for_every_environment) {
  double sum = 0;
  for (std::int64_t number = 0; number < 100; ++number) {
    for (std::int64_t episode = 0; episode < 10; ++episode) {
      const PoleState state = trainer::first_state(5, number, episode);
      for (const double x : state) {
        EXPECT_LE(std::abs(x), 0.05);
        sum += x;
      }
      EXPECT_NE(state, trainer::first_state(5, number, episode + 1));
      EXPECT_NE(state, trainer::first_state(5, number + 1, episode));
      EXPECT_NE(state, trainer::first_state(6, number, episode));
    }
  }
  // Of 4,000 numbers, each of standard deviation 0.1 / sqrt(12): five of the mean's.
  EXPECT_LT(std::abs(sum) / 4000, 5 * 0.1 / std::sqrt(12.0 * 4000));

  int pushes = 0;
  for (std::int64_t step = 0; step < 4000; ++step) {
    pushes += trainer::draw_action(0.3, 5, step % 7, step) ? 1 : 0;
    EXPECT_TRUE(trainer::draw_action(1, 5, 0, step));
    EXPECT_FALSE(trainer::draw_action(0, 5, 0, step));
  }
  EXPECT_LT(std::abs(pushes - 1200), 5 * std::sqrt(4000 * 0.3 * 0.7));
}

TEST(advantages, are_sums_of_discounted_differences_within_an_episode) {
  const std::vector<Transition> steps = {
      {.reward = 1, .value = 2, .next_value = 3, .ended = false},
      {.reward = 2, .value = 3, .next_value = 0, .ended = true},
      {.reward = 4, .value = 1, .next_value = 6, .ended = false}};
  // delta = 1 + 3/2 - 2, 2 - 3, 4 + 6/2 - 1.
  EXPECT_EQ(trainer::advantages(steps, 0.5, 0), (Numbers{0.5, -1, 6}));
  EXPECT_EQ(trainer::advantages(steps, 0.5, 0.5), (Numbers{0.25, -1, 6}));
  // trace 1: the discounted rewards less the value, 1 + 2/2 - 2.
  EXPECT_EQ(trainer::advantages(steps, 0.5, 1), (Numbers{0, -1, 6}));
  EXPECT_TRUE(trainer::advantages({}, 0.5, 1).empty());
}

TEST(advantages, that_are_equal_are_exactly_zero_once_centred) {
  Numbers equal(7, 0.1);  // whose sum is not 0.7
  trainer::centre(equal);
  EXPECT_EQ(equal, Numbers(7, 0.0));
  Numbers others = {1, 2, 6};
  trainer::centre(others);
  EXPECT_EQ(others, (Numbers{-2, -1, 3}));
  Numbers none;
  trainer::centre(none);
  EXPECT_TRUE(none.empty());
}

double target(const PoleState& s) {
  return 1 + s[0] - 2 * s[1] * s[1] + 3 * s[2] * s[3] - s[1] * s[3];
}

/// Gauss-Newton steps on a linear model: each divides what is left by the eigenvalues of the
/// features over the damping, so that a second one fits a function of the family to rounding.
TEST(value_function, is_fitted_by_least_squares) {
  Random random(2);
  std::vector<PoleState> states;
  for (int n = 0; n < 400; ++n) states.push_back(random_state(random));
  ValueFunction values(Context::cpu(), 400);
  EXPECT_EQ(values.at(states[0]), 0);
  double before = 0;
  for (int fit = 0; fit < 4; ++fit) {
    Numbers distances;
    for (const PoleState& state : states) distances.push_back(target(state) - values.at(state));
    const double error = std::sqrt(dot(distances, distances) / 400);
    if (fit > 0) {
      EXPECT_LT(error, 0.1 * before);
    }
    before = error;
    values.fit(states, distances);
  }
  const ValueFunction::Weights fitted = values.weights();
  ValueFunction again(Context::cpu(), 400);
  again.set_weights(fitted);
  EXPECT_EQ(again.at(states[5]), values.at(states[5]));
}

using trainer_cartpole = Trainer;

/// A short run.
std::string small(const std::string& options) {
  return "cartpole --threads 1 --quiet --batch 256 --environments 8 --hidden 8 --steps 6 "
         "--evaluate-every 2 --episodes 3 " +
         options;
}

// What docs/trainer.md promises of the defaults.
TEST_F(trainer_cartpole, is_solved_from_defaults) {
  for (int seed = 0; seed < (sanitized ? 1 : 5); ++seed) {
    const Result result = run_with_metrics("cartpole --threads 1 --seed " + std::to_string(seed) +
                                           (sanitized ? " --steps 2" : ""));
    if (sanitized) continue;
    EXPECT_GE(result.last()["mean_return"].get<double>(), 475) << "seed " << seed;
    EXPECT_LE(result.last()["environment_steps"].get<double>(), 300'000);
  }
}

TEST_F(trainer_cartpole, writes_its_figures) {
  const Result result = run_with_metrics(small("--rate 100"));
  // Six steps, three evaluations, and the final line.
  ASSERT_EQ(result.metrics.size(), 10);
  int step = 0;
  for (const json& line : result.metrics) {
    EXPECT_FALSE(line.contains("epoch"));
    EXPECT_FALSE(line.contains("loss"));
    if (line.contains("final")) continue;
    if (line.contains("mean_return")) {
      EXPECT_GE(line["mean_return"].get<double>(), 1);
      EXPECT_LE(line["mean_return"].get<double>(), 500);
      EXPECT_FALSE(line.contains("episode_return"));
      continue;
    }
    EXPECT_EQ(line["environment_steps"], 256 * ++step);
    EXPECT_GE(line["episode_return"].get<double>(), 1);
    EXPECT_GT(line["value_loss"].get<double>(), 0);
    EXPECT_EQ(line["outcome"], "accepted");
    EXPECT_NEAR(line["predicted_kl"].get<double>(), 0.01, 1e-7);  // the rate of 100 limits nothing
  }
  EXPECT_EQ(step, 6);
  EXPECT_EQ(result.last()["environment_steps"], 6 * 256);
  EXPECT_TRUE(result.last().contains("episode_return"));
}

// With one step each the advantages of the first batch are one reward for all.
TEST_F(trainer_cartpole, takes_no_step_of_rounding_where_all_rewards_are_equal) {
  for (const std::string options : {"", "--fisher-draws 3", "--form dual", "--fisher exact"}) {
    const Result result = run_with_metrics(
        "cartpole --threads 1 --quiet --batch 6 --environments 6 --steps 1 --rate 1e6 " + options);
    EXPECT_EQ(result.metrics[0]["outcome"], "accepted");
    EXPECT_EQ(result.metrics[0]["quadratic_form"], 0);
    EXPECT_EQ(result.metrics[0]["predicted_kl"], 0);
    EXPECT_EQ(result.metrics[0]["value_loss"], 0.5);
  }
}

TEST_F(trainer_cartpole, goes_on_as_if_it_had_not_stopped) {
  const std::string checkpoint = directory_.file("checkpoint");
  // Rates that do not fall: over which steps they fall is not the same in the first part.
  for (const std::string options :
       {"--rate 1", "--rate 1 --fisher-draws 2 --precision double", "--optimizer adam --rate 0.01",
        "--optimizer sgd --rate 0.1", "--step-rule fixed --rate 0.1 --spring 0.9",
        "--rate 1 --fisher exact"}) {
    SCOPED_TRACE(options);
    const auto until = [&](const std::string& step) {
      return "cartpole --threads 1 --quiet --batch 256 --environments 8 --hidden 8 --episodes 3 "
             "--seed 2 --evaluate-every 2 --steps " +
             step + ' ' + options;
    };
    const Result whole = run_with_metrics(until("6"));
    std::filesystem::remove(metrics_file());
    run_with_metrics(until("4") + " --checkpoint " + checkpoint);
    std::filesystem::remove(metrics_file());
    const Result rest = run_with_metrics(until("6") + " --resume " + checkpoint);
    // The fifth step, the sixth, its evaluation and the final line.
    ASSERT_EQ(rest.metrics.size(), 4);
    EXPECT_EQ(without_seconds(rest.metrics),
              without_seconds({whole.metrics.end() - 4, whole.metrics.end()}));
    std::filesystem::remove(metrics_file());
  }
}

TEST_F(trainer_cartpole, refuses_what_has_no_meaning) {
  const struct {
    const char* options;
    const char* text;
  } cases[] = {
      {"--kl-radius 0", "--kl-radius 0: expected a number > 0"},
      {"--kl-radius -1", "--kl-radius -1: expected a number > 0"},
      {"--episodes 0", "--episodes 0: expected a whole number from 1"},
      {"--environments 0", "--environments 0: expected a whole number from 1"},
      {"--batch 8", "--batch 8: fewer steps than --environments 16"},
      {"--discount 1", "--discount 1: expected a number >= 0 and < 1"},
      {"--trace 1.5", "--trace 1.5: expected a number from 0 to 1"},
      {"--trace nan", "--trace nan: expected a number from 0 to 1"},
      {"--fisher empirical --step-rule fixed", "--fisher empirical: has no meaning with cartpole"},
      {"--fisher empirical", "--step-rule kl: the empirical matrix predicts no KL divergence"},
      {"--epochs 3", "--epochs: has no meaning with cartpole"},
      {"--split 3", "--split: has no meaning with cartpole"},
      {"somewhere", "cartpole takes nothing behind it, not somewhere"},
  };
  for (const auto& bad : cases) {
    expect_one_line_error(std::string("cartpole ") + bad.options, 2, bad.text);
  }
  expect_one_line_error("digits --environments 3", 2, "--environments: has no meaning with digits");
}

TEST_F(trainer_cartpole, refuses_to_resume_a_run_of_other_environments) {
  const std::string checkpoint = directory_.file("checkpoint");
  run_with_metrics(small("--checkpoint " + checkpoint));
  expect_one_line_error("cartpole --batch 256 --hidden 8 --episodes 3 --resume " + checkpoint, 2,
                        "--environments 16: the run in");
}

TEST_F(trainer_cartpole, says_at_which_step_it_diverged) {
  expect_one_line_error(
      "cartpole --optimizer sgd --rate 1e38 --hidden 16,16 --activation relu --steps 20", 3,
      "is not finite at step");
}

TEST_F(trainer_cartpole, is_planned) {
  for (const std::string rows : {"2048", "4096", "6144"}) {
    const std::string fisher = rows == "2048"   ? ""
                               : rows == "4096" ? " --fisher exact"
                                                : " --fisher-draws 3";
    const Result result = run("cartpole --plan" + fisher);
    EXPECT_EQ(result.code, 0) << result.errors;
    EXPECT_EQ(result.output.rfind("plan of a batch of " + rows + " rows, ", 0), 0) << result.output;
    EXPECT_NE(result.output.find("\nrollout: "), std::string::npos) << result.output;
    // Weights; outputs, scores and a number of a batch; drawn scores and actions, or exact scores
    // and three vectors.
    int net = (4 * 32 + 32 + 32 * 2 + 2) * 4 + 2048 * (2 * 34 * 4 + 8) + 24;
    if (rows == "4096") net += 4096 * (34 * 4 + 3 * 8);
    if (rows == "6144") net += 6144 * (34 + 1) * 4;
    EXPECT_NE(result.output.find("\nnet: " + std::to_string(net) + " bytes, "), std::string::npos)
        << result.output;
  }
}

}  // namespace
}  // namespace natgrad::tests
