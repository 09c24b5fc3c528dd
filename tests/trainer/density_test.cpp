#include "support/files.hpp"
#include "support/trainer_runs.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

// The task density: samples that it draws, samples of a file, and what is wrong with either.

namespace natgrad::tests {

namespace {

class DensityTask : public Trainer {
 protected:
  /// A file of two columns, x normal-like with mean 3 and y three times as wide.
  std::string samples() const {
    std::string text = "x,y,constant\n";
    for (int n = 0; n < 200; ++n) {
      const double u = (n + 0.5) / 200;
      const double x = 3 + std::log(u / (1 - u)) / 2;
      const double y = 3 * std::sin(40.0 * n) + x;
      text += std::to_string(x) + ',' + std::to_string(y) + ",1\n";
    }
    const std::string file = directory_.file("samples.csv");
    write_file(file, text);
    return file;
  }
};

using trainer_density = DensityTask;

TEST_F(trainer_density, finds_the_density_that_the_samples_were_drawn_from) {
  for (const std::string options :
       {"", "--parameterization scale", "--parameterization natural",
        "--dimensions 2 --precision float", "--density mixture --components 2 --seed 1",
        "--density exponential", "--density mixture --dimensions 2 --components 2 --fisher sampled",
        "--parameterization natural --fisher sampled --batch 500"}) {
    SCOPED_TRACE(options);
    const Result result = run_with_metrics("density --threads 1 " + options);
    EXPECT_LT(result.last().at("loss"), result.metrics.front().at("loss"));
    // Of 1,600 samples: P / (2 N) nats on average.
    EXPECT_LT(result.last().at("kl"), 0.02);
    EXPECT_EQ(result.last().at("outcome"), "accepted");
  }
}

TEST_F(trainer_density, fits_the_columns_of_a_file) {
  const std::string data = "density --threads 1 --epochs 30 --data " + samples();
  for (const std::string options :
       {" --columns x,y", " --columns x --density mixture --components 2",
        " --columns x --density exponential", " --columns x --parameterization natural"}) {
    SCOPED_TRACE(options);
    const Result result = run_with_metrics(data + options);
    EXPECT_TRUE(std::isfinite(result.last().at("test_loss").get<double>()));
    // Standardized columns start a single Gaussian at its best.
    const double first = result.metrics.front().at("loss").get<double>();
    EXPECT_LE(result.last().at("loss").get<double>(), first + 1e-12);
    EXPECT_FALSE(result.last().contains("kl"));
  }
}

TEST_F(trainer_density, goes_on_as_if_it_had_not_stopped) {
  const std::string checkpoint = directory_.file("checkpoint");
  for (const std::string options :
       {"", "--fisher sampled --batch 300 --rate 0.3", "--density mixture --batch 300",
        "--optimizer adam --density exponential"}) {
    SCOPED_TRACE(options);
    const std::string task = "density --threads 1 --quiet --evaluate-every 4 " + options;
    const Result whole = run_with_metrics(task + " --steps 16");
    run_with_metrics(task + " --steps 8 --checkpoint " + checkpoint);
    const Result resumed = run_with_metrics(task + " --steps 16 --resume " + checkpoint);
    EXPECT_EQ(without_seconds(resumed.metrics), without_seconds(whole.metrics));
  }
  expect_one_line_error(
      "density --density exponential --optimizer adam --samples 100 --resume " + checkpoint, 2,
      "--samples 100: the run in ");
}

/// What counts is what a file holds.
TEST_F(trainer_density, goes_on_with_the_same_samples_only) {
  const std::string checkpoint = directory_.file("checkpoint");
  const auto file = [&](const std::string& name, const std::string& last) {
    std::string text = "x\n";
    for (int n = 0; n < 19; ++n) text += std::to_string(n * n) + '\n';
    write_file(directory_.file(name), text + last);
    return directory_.file(name);
  };
  const std::string task = "density --threads 1 --quiet ";
  const std::string resuming = " --steps 6 --resume " + checkpoint;
  const std::string data = task + "--data " + file("a.csv", "400\n");
  run_with_metrics(data + " --steps 3 --checkpoint " + checkpoint);
  run_with_metrics(task + "--data " + file("b.csv", "4e2") + resuming);
  file("a.csv", "401\n");
  expect_one_line_error(data + resuming, 2, "the run is on other data of this size, with checksum");
  expect_one_line_error(task + "--samples 20" + resuming, 2, "--dimensions 1: the run in ");
  run_with_metrics(task + "--samples 20 --steps 3 --checkpoint " + checkpoint);
  expect_one_line_error(data + resuming, 2, "--dimensions none: the run in ");
}

TEST_F(trainer_density, plans_its_memory) {
  for (const std::string options : {"", "--fisher sampled --fisher-draws 2", "--density mixture",
                                    "--density exponential --step-rule fixed --fisher empirical"}) {
    const Result result = run("density --device cpu --plan " + options);
    EXPECT_EQ(result.code, 0) << result.errors;
    EXPECT_NE(result.output.find("density"), std::string::npos) << result.output;
  }
}

TEST_F(trainer_density, refuses_what_has_no_density) {
  const std::string data = "density --data " + samples();
  const std::string bad = directory_.file("bad.csv");
  write_file(bad, "x\n1\n2\n\"three\"\n4\n5\n");
  const std::string few = directory_.file("few.csv");
  write_file(few, "x\n1\n2\n");
  const std::string far = directory_.file("far.csv");
  write_file(far, "x\n-1.5e308\n1.5e308\n0\n1\n2\n");
  const struct {
    std::string arguments;
    std::string text;
  } cases[] = {
      {"density --density cauchy", "--density cauchy: expected gaussian|mixture|exponential"},
      {"density --components 2", "--components: has no meaning with --density gaussian"},
      {"density --density mixture --parameterization scale", "--parameterization: has no meaning"},
      {"density --parameterization natural --dimensions 2", "is of one dimension, there are 2"},
      {"density --density exponential --dimensions 2", "--dimensions: has no meaning"},
      {"density --columns x", "--columns: has no meaning without --data"},
      {"density --samples 4", "--samples: at least 5"},
      {data + " --samples 100", "--samples: has no meaning with --data"},
      {data + " --columns z", "z"},
      {data, "column \"constant\" is constant"},
      {data + " --columns constant --density exponential", "column \"constant\" is constant"},
      {data + " --columns x,y --density exponential", "is of one column, there are 2"},
      {"density --data " + bad, "line 4"},
      {"density --data " + few, "has 2 rows, at least 5"},
      {"density --density exponential --data " + far, "goes from -1.5e+308 to 1.5e+308"},
      {"density --data " + directory_.file("nowhere.csv"), "nowhere.csv"},
      {"density --fisher empirical", "--step-rule kl: the empirical matrix predicts no KL"},
      {"density --density mixture --dimensions 2", "needs --fisher sampled"},
      {"density --hidden 3", "--hidden: has no meaning with density"},
  };
  for (const auto& [arguments, text] : cases) expect_one_line_error(arguments, 2, text);
}

}  // namespace

}  // namespace natgrad::tests
