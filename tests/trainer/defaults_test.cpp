#include "support/likelihood_tables.hpp"
#include "support/sanitized.hpp"
#include "support/trainer_runs.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

// Every task and likelihood learns from its defaults, whatever the seed. Sizes alone are smaller
// here: method, rate, damping and momentum are those of a run without options.

namespace natgrad::tests {
namespace {

constexpr int seeds = sanitized ? 1 : 20;

class Defaults : public Trainer {
 protected:
  /// The lines of a run with this seed; none where it failed.
  std::vector<json> lines_of(const std::string& arguments, int seed) {
    return run_here_with_metrics(arguments + " --seed " + std::to_string(seed) +
                                 " --quiet --threads 1 --device cpu")
        .metrics;
  }

  /// The loss of the last step lies below that of the first.
  void expect_to_learn(const std::string& arguments, int seed) {
    SCOPED_TRACE(arguments + ", seed " + std::to_string(seed));
    const std::vector<json> lines = lines_of(arguments, seed);
    ASSERT_FALSE(lines.empty());
    EXPECT_LT(lines.back().at("loss"), lines.front().at("loss"));
    EXPECT_EQ(lines.back().at("outcome"), "accepted");
    EXPECT_TRUE(lines.back().at("test_loss").is_number());
  }
  void expect_to_learn(const std::string& arguments) {
    for (int seed = 0; seed < seeds; ++seed) expect_to_learn(arguments, seed);
  }
};

using defaults = Defaults;

TEST_F(defaults, digits) { expect_to_learn("digits --hidden 8 --steps 6"); }

/// Images of 4 x 4 pixels with noise, in which the brightest pixel is that of the label.
std::string images(std::uint32_t count, std::uint64_t seed) {
  Random random(seed);
  std::vector<std::uint8_t> pixels(count * 16);
  for (std::uint8_t& pixel : pixels) pixel = static_cast<std::uint8_t>(60 * (1 + random()));
  for (std::uint32_t n = 0; n < count; ++n) pixels[n * 16 + n % 10] = 255;
  return idx_bytes({count, 4, 4}, pixels);
}

TEST_F(defaults, mnist) {
  for (const std::string part : {"train", "t10k"}) {
    const std::uint32_t count = part == "train" ? 100 : 30;
    write_file(directory_.file(part + "-images-idx3-ubyte"), images(count, count));
    write_file(directory_.file(part + "-labels-idx1-ubyte"), label_bytes(count));
  }
  expect_to_learn("mnist " + directory_.path() + " --hidden 16,16");
}

TEST_F(defaults, csv) {
  const std::string file = directory_.file("table.csv");
  for (const LikelihoodTable& table : likelihood_tables) {
    const std::string task =
        "csv " + file + " --target " + table.name + " --likelihood " + table.name;
    for (int seed = 0; seed < seeds; ++seed) {
      write_file(file, table_of(table, 100, static_cast<std::uint64_t>(seed)));
      expect_to_learn(task + " --hidden 8", seed);
      expect_to_learn(task + " --hidden none", seed);
    }
  }
}

TEST_F(defaults, density) {
  for (const std::string options :
       {"--parameterization scale", "--parameterization log-scale", "--parameterization natural",
        "--parameterization cholesky", "--dimensions 2", "--density mixture",
        "--density mixture --dimensions 2 --fisher sampled", "--density exponential"}) {
    expect_to_learn("density --samples 200 " + options);
  }
}

// An evaluation measures the distance from the exact solution.
TEST_F(defaults, poisson) {
  for (int seed = 0; seed < seeds; ++seed) {
    SCOPED_TRACE(seed);
    const std::vector<json> lines =
        lines_of("poisson --hidden 8 --interior 60 --boundary 30 --steps 10", seed);
    ASSERT_FALSE(lines.empty());
    EXPECT_LT(lines.back().at("loss"), lines.front().at("loss"));
    EXPECT_EQ(lines.back().at("outcome"), "accepted");
    EXPECT_TRUE(lines.back().at("l2_error").is_number());
  }
}

// A batch of a policy is played by that policy: its loss says nothing of how good the policy is.
// The mean return of the evaluation at the end is held against that of the episodes which ended in
// the first batch, under the policy that all begin with; none of the twenty falls short of twice.
TEST_F(defaults, cartpole) {
  for (int seed = 0; seed < seeds; ++seed) {
    SCOPED_TRACE(seed);
    const std::vector<json> lines = lines_of("cartpole --hidden 8 --batch 512 --steps 10", seed);
    ASSERT_FALSE(lines.empty());
    EXPECT_GT(lines.back().at("mean_return").get<double>(),
              2 * lines.front().at("episode_return").get<double>());
  }
}

}  // namespace
}  // namespace natgrad::tests
