#include "support/trainer_runs.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <regex>
#include <set>
#include <string>
#include <vector>

namespace natgrad::tests {
namespace {

using trainer = Trainer;

std::set<std::string> keys(const json& line) {
  std::set<std::string> names;
  for (const auto& [name, value] : line.items()) names.insert(name);
  return names;
}

TEST_F(trainer, refuses_bad_options) {
  const struct {
    const char* arguments;
    const char* text;
  } cases[] = {
      {"", "no TASK given"},
      {"letters",
       "TASK letters: expected digits, mnist DIR, csv FILE, cartpole, density, poisson, or ising"},
      {"digits somewhere", "digits takes nothing behind it, not somewhere"},
      {"mnist", "mnist needs the directory of its four IDX files, plain or gzip: mnist DIR"},
      {"mnist . --split 1", "--split: has no meaning with mnist"},
      {"digits --fisher true", "--fisher true: expected empirical|sampled|exact"},
      {"digits --fisher exact --fisher-draws 2", "--fisher-draws: has no meaning without"},
      {"digits --fisher-draws 2", "--fisher-draws: has no meaning without --fisher sampled"},
      {"digits --fisher sampled --fisher-draws 0", "--fisher-draws 0: expected a whole number"},
      {"digits --step-rule trust", "--step-rule trust: expected fixed|kl|backtracking|quadratic"},
      {"digits --step-rule quadratic", "--step-rule quadratic: the empirical matrix"},
      {"digits --fisher sampled --step-rule quadratic --momentum 0.9",
       "--momentum: has no meaning with --step-rule quadratic"},
      {"digits --fisher sampled --step-rule quadratic --spring 0.9",
       "--spring: has no meaning with --step-rule quadratic"},
      {"digits --trials 3",
       "--trials: has no meaning without --step-rule kl, backtracking or geodesic"},
      {"digits --step-rule backtracking --trials 0", "--trials 0: --step-rule backtracking tries"},
      {"digits --step-rule backtracking --trials 65",
       "--trials 65: expected a whole number from 0"},
      {"digits --damping lm", "--damping lm: the empirical matrix"},
      {"digits --damping lm:0", "--damping lm:0: expected a number >= 0"},
      {"digits --damping lm:1e99", "--damping lm:1e99: expected a number >= 0"},
      {"digits --damping 0.1:0.9", "--damping 0.1:0.9: expected a number >= 0"},
      {"digits --damping 0.1:2:0.01", "--damping 0.1:2:0.01: expected a number >= 0"},
      {"digits --damping 0.1:0.9:0", "--damping 0.1:0.9:0: expected a number >= 0"},
      {"digits --damping 0.1:0.9:0.2", "--damping 0.1:0.9:0.2: expected a number >= 0"},
      {"digits --damping 0.1:0.9:x", "--damping 0.1:0.9:x: expected a number >= 0"},
      {"digits --step-rule kl", "--step-rule kl: the empirical matrix"},
      {"digits --fisher sampled --kl-radius 1", "--kl-radius: has no meaning without --step-rule"},
      {"digits --fisher sampled --step-rule kl --kl-radius 0", "--kl-radius 0: expected a number"},
      {"digits --max-norm 0", "--max-norm 0: expected a number > 0"},
      {"digits --refinement -1", "--refinement -1: expected a whole number from 0"},
      {"digits --refinement 1 --form primal", "--refinement: has no meaning with --form primal"},
      {"digits --structure diagonal --refinement 2",
       "--refinement: has no meaning with --structure diagonal"},
      {"digits --structure diagonal --form dual",
       "--form dual: has no meaning with --structure diagonal"},
      {"digits --damping-scaling layer", "--damping-scaling layer: expected identity|tensor"},
      {"digits --damping-scaling tensor --structure diagonal", "a diagonal takes identity alone"},
      {"digits --damping-scaling diagonal --form dual", "no meaning with --form dual"},
      {"digits --optimizer adam --damping-scaling tensor", "--damping-scaling: has no meaning"},
      {"digits --plan --quiet", "--plan: has no meaning with --quiet"},
      {"digits --optimizer adam --plan", "--plan: has no meaning with --optimizer adam"},
      {"digits --optimizer sgd --fisher sampled", "--fisher: has no meaning with --optimizer sgd"},
      {"digits --optimizer sgd --fisher-draws 1", "--fisher-draws: has no meaning"},
      {"digits --optimizer sgd --step-rule fixed", "--step-rule: has no meaning"},
      {"digits --optimizer sgd --kl-radius 1", "--kl-radius: has no meaning"},
      {"digits --optimizer adam --max-norm 1", "--max-norm: has no meaning"},
      {"digits --optimizer adam --refinement 1", "--refinement: has no meaning"},
      {"digits --optimizer adam --rate 1e-3:linear", "--rate with :linear or :cosine: has no"},
      {"digits --optimizer newton", "--optimizer newton: expected natural|sgd|adam"},
      {"digits --form cubic", "--form cubic: expected auto|primal|dual"},
      {"digits --rate 0", "--rate 0: expected a number > 0"},
      {"digits --rate nan", "--rate nan: expected a number > 0"},
      {"digits --rate inf", "--rate inf: expected a number > 0"},
      {"digits --rate 0.3:square", "--rate 0.3:square: expected a number > 0, alone or with"},
      {"digits --rate 0.3:", "--rate 0.3:: expected a number > 0, alone or with"},
      {"digits --rate 0:linear", "--rate 0:linear: expected a number > 0, alone or with"},
      {"digits --rate", "--rate"},
      {"digits --damping -1", "--damping -1: expected a number >= 0"},
      {"digits --damping relative:x", "--damping relative:x: expected a number >= 0, alone or"},
      {"digits --damping relative:-1", "--damping relative:-1: expected a number >= 0, alone or"},
      {"digits --damping relative:", "--damping relative:: expected a number >= 0, alone or"},
      {"digits --momentum 1", "--momentum 1: expected a number >= 0 and < 1"},
      {"digits --momentum 0.5 --spring 0.5",
       "--spring: has no meaning with --momentum: the two exclude each other"},
      {"digits --optimizer adam --damping 1", "--damping: has no meaning with --optimizer adam"},
      {"digits --optimizer adam --momentum 0.5", "--momentum: has no meaning"},
      {"digits --optimizer sgd --spring 0.5", "--spring: has no meaning"},
      {"digits --optimizer sgd --form dual", "--form: has no meaning"},
      {"digits --weight-decay 10", "the default --rate 0.4 times --weight-decay 10 is more than 1"},
      {"digits --optimizer adam --weight-decay 1e4", "--weight-decay 10000 is more than 1"},
      {"digits --rate 11", "--rate 11 times the default --weight-decay 0.1 is more than 1"},
      {"digits --hidden 10,,10", "--hidden 10,,10: expected whole numbers from 1 to 10^9 as in"},
      {"digits --hidden 5,,", "--hidden 5,,: expected whole numbers from 1 to 10^9 as in 512,512"},
      {"digits --hidden 0", "--hidden 0: expected whole numbers from 1"},
      {"digits --hidden none --activation relu", "--activation: has no meaning"},
      {"digits --activation cos", "--activation cos: expected tanh|relu|sigmoid|gelu"},
      {"digits --batch 0", "--batch 0: expected a whole number"},
      {"digits --epochs 1.5", "--epochs 1.5: expected a whole number"},
      {"digits --steps 0", "--steps 0: expected a whole number"},
      {"digits --seed -1", "--seed -1: expected a whole number"},
      {"digits --seed 99999999999999999999", "--seed 99999999999999999999"},
      {"digits --device tpu", "--device tpu: expected auto|cpu|cuda"},
      {"digits --precision half", "--precision half: expected float|double"},
      {"digits --precision double --allow-tf32",
       "--allow-tf32: has no meaning with --precision double"},
      {"digits --threads 0", "--threads 0: expected a whole number"},
      {"digits --rate 0.1 --rate 0.2", "--rate: given 2 times, expected once"},
      {"digits --batch=1 --steps 3 --batch 1", "--batch: given 2 times, expected once"},
      {"digits --plan --plan", "--plan: given 2 times, expected once"},
      {"digits --metrics ''", "--metrics \"\": expected the name of a file"},
      {"digits --newton", "--newton"},
      {"digits --evaluate-every 0", "--evaluate-every 0: expected a whole number"},
  };
  for (const auto& bad : cases) expect_one_line_error(bad.arguments, 2, bad.text);
}

TEST_F(trainer, refuses_missing_and_bad_files) {
  const std::string nowhere = directory_.file("nowhere");
  expect_one_line_error("mnist " + nowhere, 2, nowhere + ": no such directory");
  expect_one_line_error("mnist " + directory_.path(), 2, "train-images-idx3-ubyte: no such file");
  write_mnist();
  write_file(directory_.file("t10k-labels-idx1-ubyte"), label_bytes(29));
  expect_one_line_error("mnist " + directory_.path(), 2, "29 labels for the 30 images");
}

TEST_F(trainer, refuses_an_unwritable_metrics_file_before_it_trains) {
  const std::string path = directory_.file("nowhere/metrics");
  const Result result = run("digits --metrics " + path);
  EXPECT_EQ(result.code, 2);
  EXPECT_NE(result.errors.find(path + ": cannot write metrics: No such file"), std::string::npos)
      << result.errors;
  EXPECT_EQ(result.output, "");
}

TEST_F(trainer, writes_to_what_a_link_leads_to) {
  const auto link = [&](const char* name, const char* target) {
    std::filesystem::create_symlink(target, directory_.file(name));
    return directory_.file(name);
  };
  const std::string arguments = "digits --epochs 1 --batch 400 --metrics " +
                                link("metrics", "its metrics") + " --checkpoint " +
                                link("checkpoint", "its checkpoint");
  for (int time = 0; time < 2; ++time) {  // to what is not there yet, and to a file
    const Result result = run(arguments);
    EXPECT_EQ(result.code, 0) << result.errors;
    for (const char* name : {"metrics", "checkpoint"}) {
      EXPECT_TRUE(std::filesystem::is_symlink(directory_.file(name))) << name;
      EXPECT_GT(std::filesystem::file_size(directory_.file(std::string("its ") + name)), 100);
    }
  }
  expect_one_line_error(
      "digits --metrics " + link("a", "b") + " --checkpoint " + directory_.file("b"), 2,
      "is the file of the checkpoint");
  const std::string loop = link("loop", "loop");
  expect_one_line_error("digits --checkpoint " + loop, 2, loop + ": cannot be written: ");
  expect_one_line_error("digits --metrics " + loop, 2, loop + ": cannot write metrics: ");
  EXPECT_TRUE(std::filesystem::is_symlink(loop));
}

TEST_F(trainer, says_that_the_disk_is_full) {
  expect_one_line_error("digits --steps 2 --metrics /dev/full", 2,
                        "/dev/full: cannot write metrics: No space left");
}

TEST_F(trainer, says_why_there_is_no_cuda_device) {
  const Result result = run("digits --device cuda --steps 1");
  if (result.code == 0) GTEST_SKIP() << "there is a device";
  EXPECT_EQ(result.code, 2);
  if (result.errors.find("this build of natgrad has no CUDA backend") != std::string::npos) {
    GTEST_SKIP() << "there is no CUDA in this build";
  }
  expect_one_line_error("digits --device cuda", 2, "natgrad-train: context: ");
  EXPECT_TRUE(std::regex_search(result.errors, std::regex("CUDA (driver|device)")))
      << result.errors;
}

TEST_F(trainer, falls_back_to_the_cpu_with_one_line) {
  const std::string errors = directory_.file("errors of auto");
  const std::string command =
      std::string(NATGRAD_TRAIN) + " digits --steps 1 --quiet 2>'" + errors + "'";
  ASSERT_EQ(std::system(command.c_str()), 0);
  const std::string text = read_file(errors);
  EXPECT_TRUE(text.empty() ||
              std::regex_match(text, std::regex("natgrad-train: [^\n]*; the CPU is used\n")))
      << text;
}

TEST_F(trainer, says_at_which_step_it_diverged) {
  const std::string file = " --metrics " + metrics_file();
  expect_one_line_error("digits --optimizer sgd --rate 1e38 --weight-decay 0 --steps 20" + file, 3,
                        "is not finite at step");
  EXPECT_NE(read_file(metrics_file()).find("\"loss\":null"), std::string::npos);
}

// More rows than parameters and no damping: the matrix of the dual form is singular.
TEST_F(trainer, gives_up_after_ten_failed_steps) {
  expect_one_line_error("digits --hidden none --form dual --damping 0 --batch 1437", 3,
                        "step 10: 10 attempts in a row have failed");
}

// Fewer failures at the end are no divergence: the parameters are good, and the user is told.
TEST_F(trainer, warns_of_a_run_that_ends_in_fewer_than_ten_failed_steps) {
  const std::string arguments =
      "digits --hidden none --form dual --damping 0 --batch 1437 --steps 9 --metrics " +
      metrics_file();
  const Result result = run(arguments);
  EXPECT_EQ(result.code, 0) << result.errors;
  EXPECT_EQ(
      result.errors,
      "natgrad-train: the run ended in 9 failed steps, the last as not_positive_definite: the "
      "parameters are those of step 0\n");
  EXPECT_EQ(read_metrics(metrics_file()).back()["outcome"], "not_positive_definite");
  const Result quiet = run(arguments + " --quiet");
  EXPECT_EQ(quiet.code, 0);
  EXPECT_EQ(quiet.errors, "");
}

TEST_F(trainer, prints_help_and_version) {
  const Result help = run("--help");
  EXPECT_EQ(help.code, 0);
  for (const char* text :
       {"--optimizer natural|sgd|adam", "--damping X|relative:X|X:FACTOR:FLOOR|lm[:X]",
        "--step-rule fixed|kl|backtracking|quadratic", "--trials N", "--spring X",
        "--hidden LIST|none", "--metrics FILE", "--resume FILE", "--split N", "(default natural)",
        "digits   --hidden 128 --batch 479 --epochs 30 --weight-decay 0.1",
        "mnist    --hidden 512,512 --batch 4000 --epochs 5 --weight-decay 0",
        "natural  --structure diagonal: --spring 0.9 --rate 0.1 --damping 0.3",
        "csv      --fisher exact --hidden 32 --batch 500 --epochs 15 --weight-decay 0",
        "natural  --fisher sampled: --momentum 0.9 --rate 0.3:linear --damping 0.03",
        "natural  --fisher exact: --spring 0.9 --rate 0.4 --damping 0.03", "adam     --rate 0.003",
        "null", "ten steps in a row"}) {
    EXPECT_NE(help.output.find(text), std::string::npos) << text;
  }
  const Result version = run("--version");
  EXPECT_EQ(version.code, 0);
  for (const char* word : {"natgrad-train ", "Alpaydin", "Kaynak", "CC BY 4.0"}) {
    EXPECT_NE(version.output.find(word), std::string::npos) << word;
  }
}

TEST_F(trainer, writes_metrics_of_a_natural_run) {
  const Result result = run_with_metrics("digits --steps 5 --batch 479");
  // Five steps, evaluations at the end of the epoch of three and at the end, the final line.
  ASSERT_EQ(result.metrics.size(), 8);
  const std::set<std::string> step = {
      "step",    "epoch", "seconds",        "evaluation_seconds", "loss",        "accuracy",
      "damping", "rate",  "quadratic_form", "residual",           "error_bound", "outcome"};
  EXPECT_EQ(keys(result.metrics[0]), step);
  EXPECT_EQ(keys(result.metrics[3]),
            (std::set<std::string>{"step", "epoch", "seconds", "evaluation_seconds", "test_loss",
                                   "test_accuracy"}));
  std::set<std::string> last = step;
  last.insert({"test_loss", "test_accuracy", "final"});
  EXPECT_EQ(keys(result.last()), last);
  EXPECT_EQ(result.last()["final"], true);
  EXPECT_EQ(result.last()["step"], 5);
  EXPECT_EQ(result.last()["epoch"], 2);
  EXPECT_EQ(result.last()["outcome"], "accepted");
  EXPECT_EQ(result.last()["loss"], result.metrics[5]["loss"]);
  EXPECT_EQ(result.last()["test_loss"], result.metrics[6]["test_loss"]);
  double seconds = 0;
  for (const json& line : result.metrics) {
    EXPECT_GE(line["seconds"].get<double>(), seconds);
    seconds = line["seconds"].get<double>();
  }
}

TEST_F(trainer, writes_what_sampled_rows_predict) {
  const Result result = run_with_metrics(
      "digits --fisher sampled --fisher-draws 2 --step-rule kl --kl-radius 1e-3 --rate 0.5:cosine "
      "--spring 0 --steps 4 --batch 479 --hidden 16");
  for (int step = 0; step < 4; ++step) {
    const json& line = result.metrics[static_cast<std::size_t>(step < 3 ? step : step + 1)];
    ASSERT_EQ(line["step"], step + 1);
    const double rate = line["rate"].get<double>();
    const double predicted = line["predicted_kl"].get<double>();
    EXPECT_LE(rate, 0.25 * (1 + std::cos(M_PI * step / 4)));
    EXPECT_LE(predicted, 1.0001e-3);
    EXPECT_NEAR(predicted, 0.5 * rate * rate * line["quadratic_form"].get<double>(), 1e-12);
  }
}

/// The lines of the steps, without those of evaluations.
std::vector<json> steps_of(const Result& result) {
  std::vector<json> steps;
  for (const json& line : result.metrics) {
    if (line.contains("rate") && !line.contains("final")) steps.push_back(line);
  }
  return steps;
}

TEST_F(trainer, writes_what_a_rule_measures_of_the_loss) {
  const std::string small = " --steps 4 --batch 479 --hidden 16 --precision double";
  for (const json& line : steps_of(run_with_metrics("digits --step-rule backtracking" + small))) {
    EXPECT_EQ(line["outcome"], "accepted");
    EXPECT_GE(line["trials"].get<int>(), 1);
    const double before = line["loss_before"].get<double>();
    EXPECT_NEAR(before, line["loss"].get<double>(), 1e-12 * before);
    EXPECT_LT(line["loss_after"].get<double>(), before);
    EXPECT_TRUE(line.contains("reduction_ratio"));
    EXPECT_FALSE(line.contains("actual_kl"));
    EXPECT_FALSE(line.contains("model_rate"));
  }
  const std::string region =
      "digits --fisher sampled --step-rule kl --kl-radius 0.1 --rate 100 --momentum 0 --trials 8 "
      "--weight-decay 0";
  for (const json& line : steps_of(run_with_metrics(region + small))) {
    EXPECT_EQ(line["outcome"], "accepted");
    EXPECT_LE(line["actual_kl"].get<double>(), 0.1 * (1 + 1e-3));
    EXPECT_GT(line["actual_kl"].get<double>(), 0.001);
    EXPECT_LE(line["loss_after"].get<double>(), line["loss_before"].get<double>());
  }
  const std::string model =
      "digits --fisher sampled --step-rule quadratic --structure block_diagonal";
  const std::vector<json> of_model = steps_of(run_with_metrics(model + small));
  ASSERT_EQ(of_model.size(), 4);
  EXPECT_EQ(of_model[0]["momentum"], 0);
  EXPECT_NE(of_model[2]["momentum"], 0);
  EXPECT_GT(of_model[2]["model_rate"].get<double>(), 0);
  EXPECT_FALSE(of_model[2].contains("loss_after"));
}

TEST_F(trainer, changes_the_damping_as_it_is_told) {
  const std::string small = " --steps 4 --batch 479 --hidden 16";
  std::vector<double> falling;
  for (const json& line : steps_of(run_with_metrics("digits --damping 0.5:0.5:0.1" + small))) {
    falling.push_back(line["damping"].get<double>());
  }
  EXPECT_EQ(falling, (std::vector<double>{0.5, 0.25, 0.125, 0.1}));
  const std::vector<json> adapted =
      steps_of(run_with_metrics("digits --fisher sampled --damping lm:1 --momentum 0" + small));
  ASSERT_EQ(adapted.size(), 4);
  for (std::size_t i = 0; i < 4; ++i) {
    ASSERT_TRUE(adapted[i].contains("reduction_ratio"));
    if (i == 0) continue;
    const double ratio = adapted[i - 1]["reduction_ratio"].get<double>();
    const double factor = ratio > 0.75 ? 2.0 / 3 : ratio < 0.25 ? 1.5 : 1;
    const double before = adapted[i - 1]["damping"].get<double>();
    EXPECT_NEAR(adapted[i]["damping"].get<double>(), factor * before, 1e-12 * before);
  }
  EXPECT_NE(adapted[3]["damping"], 1.0);
}

TEST_F(trainer, lets_the_rate_fall_over_the_run) {
  const Result result =
      run_with_metrics("digits --rate 0.2:linear --steps 5 --batch 300 --hidden 16");
  std::vector<double> rates;
  for (const json& line : result.metrics) {
    if (line.contains("rate") && !line.contains("final")) rates.push_back(line["rate"]);
  }
  ASSERT_EQ(rates.size(), 5);
  for (std::size_t i = 0; i < 5; ++i) {
    EXPECT_DOUBLE_EQ(rates[i], 0.2 * (1 - static_cast<double>(i) / 5));
  }
}

TEST_F(trainer, limits_the_norm_of_a_step_and_refines_its_solve) {
  const std::string run = "digits --steps 1 --spring 0 --batch 300 --hidden 16";
  const json free = run_with_metrics(run).metrics[0];
  const json limited = run_with_metrics(run + " --max-norm 1e-3").metrics[0];
  EXPECT_LT(limited["rate"].get<double>(), 0.1 * free["rate"].get<double>());
  const json refined = run_with_metrics(run + " --form dual --refinement 2").metrics[0];
  EXPECT_LT(refined["residual"].get<double>(), 0.01 * free["residual"].get<double>());
}

TEST_F(trainer, counts_damping_in_units_of_the_parameters) {
  const std::string run = "digits --steps 3 --spring 0 --batch 300 --hidden 4 --damping 0.1";
  const json one_unit = run_with_metrics(run).metrics[2];
  for (const std::string scaling : {"tensor", "diagonal"}) {
    const auto metrics = run_with_metrics(run + " --damping-scaling " + scaling).metrics;
    EXPECT_EQ(metrics[2]["damping"], 0.1);
    EXPECT_EQ(metrics[2]["outcome"], "accepted");
    EXPECT_LT(metrics[2]["loss"].get<double>(), metrics[0]["loss"].get<double>());
    EXPECT_NE(metrics[2]["loss"], one_unit["loss"]);
  }
}

TEST_F(trainer, prints_the_memory_plan_and_trains_nothing) {
  // 300 of 1437 a batch: five of at most 288.
  const std::string files =
      " --metrics " + metrics_file() + " --checkpoint " + directory_.file("checkpoint");
  const struct {
    std::string options;
    int rows;
    const char* form;
    int bytes;  // of the rows that are not the data's
  } cases[] = {{"", 288, "dual", 0},
               {" --form primal", 288, "primal", 0},
               // Scores of the layers and labels.
               {" --fisher sampled --fisher-draws 3", 864, "dual", 864 * (26 + 1) * 4},
               // Scores of the layers; r, coefficients and weights in double.
               {" --fisher exact", 2880, "primal", 2880 * (26 * 4 + 3 * 8)}};
  for (const auto& planned : cases) {
    const Result result = run("digits --plan --hidden 16 --batch 300" + planned.options + files);
    EXPECT_EQ(result.code, 0) << result.errors;
    EXPECT_EQ(result.output.rfind("plan of a batch of " + std::to_string(planned.rows) + " rows, " +
                                      planned.form + " form: ",
                                  0),
              0)
        << result.output;
    // Images and labels, the order of the former, and one batch.
    const int data = 1797 * (64 * 4 + 4) + 1437 * 4 + 288 * (64 * 4 + 4);
    EXPECT_NE(result.output.find("data: " + std::to_string(data) + " bytes, "), std::string::npos)
        << result.output;
    // Weights; outputs, scores and log p of the 360 test images at once.
    const int net = (64 * 16 + 16 + 16 * 10 + 10) * 4 + 360 * (2 * 26 * 4 + 8) + 24;
    EXPECT_NE(result.output.find("net: " + std::to_string(net + planned.bytes) + " bytes, "),
              std::string::npos)
        << result.output;
    EXPECT_NE(result.output.find("\nin all: "), std::string::npos) << result.output;
    EXPECT_EQ(read_file(metrics_file()) + read_file(directory_.file("checkpoint")), "");
  }
}

TEST_F(trainer, writes_null_for_what_is_not_finite) {
  // Without damping a refined solve has no bound.
  const Result result = run_with_metrics(
      "digits --steps 1 --damping 0 --hidden none --batch 64 --refinement 1 --form dual");
  EXPECT_TRUE(result.metrics[0].at("error_bound").is_null());
}

TEST_F(trainer, evaluates_as_often_as_asked) {
  const Result result =
      run_with_metrics("digits --batch 200 --epochs 2 --steps 10 --evaluate-every 3");
  std::vector<int> steps;
  for (const json& line : result.metrics) {
    if (!line.contains("loss")) steps.push_back(line["step"].get<int>());
  }
  EXPECT_EQ(steps, (std::vector<int>{3, 6, 9, 10}));
}

TEST_F(trainer, ends_with_the_smaller_of_epochs_and_steps) {
  EXPECT_EQ(run_with_metrics("digits --batch 480 --epochs 2 --steps 100").last()["step"], 6);
  EXPECT_EQ(run_with_metrics("digits --batch 480 --epochs 2 --steps 4").last()["step"], 4);
}

TEST_F(trainer, says_nothing_when_quiet) {
  const Result result = run_with_metrics("digits --steps 2 --quiet");
  EXPECT_EQ(result.output, "");
  EXPECT_EQ(result.errors, "");
  EXPECT_EQ(result.last()["final"], true);
}

TEST_F(trainer, repeats_itself_bit_for_bit) {
  const std::string arguments = "digits --steps 7 --batch 300 --seed 4";
  const Result first = run_with_metrics(arguments);
  const Result second = run_with_metrics(arguments);
  EXPECT_EQ(without_seconds(first.metrics), without_seconds(second.metrics));
  const Result other = run_with_metrics("digits --steps 7 --batch 300 --seed 5");
  EXPECT_NE(without_seconds(first.metrics), without_seconds(other.metrics));
}

TEST_F(trainer, has_no_tf32_on_a_cpu) {
  const std::string arguments = "digits --steps 3 --batch 300 --device cpu";
  EXPECT_EQ(without_seconds(run_with_metrics(arguments).metrics),
            without_seconds(run_with_metrics(arguments + " --allow-tf32").metrics));
}

TEST_F(trainer, learns_the_digits_with_every_optimizer) {
  EXPECT_GE(run_with_metrics("digits --steps 30").test_accuracy(), 0.93);
  EXPECT_GE(run_with_metrics("digits --steps 30 --momentum 0.9 --rate 0.1").test_accuracy(), 0.9);
  EXPECT_GE(run_with_metrics("digits --fisher sampled --steps 30").test_accuracy(), 0.93);
  for (const std::string fisher : {"empirical", "sampled"}) {
    const std::string line = "digits --structure diagonal --steps 30 --fisher " + fisher;
    EXPECT_GE(run_with_metrics(line).test_accuracy(), 0.9) << fisher;
  }
  for (const std::string options : {"", " --step-rule kl --rate 1 --kl-radius 0.1"}) {
    const std::string run = "digits --fisher exact --hidden none --batch 100 --steps 20" + options;
    EXPECT_GE(run_with_metrics(run).test_accuracy(), 0.88) << options;
  }
  EXPECT_GE(run_with_metrics("digits --optimizer adam --steps 60").test_accuracy(), 0.85);
  EXPECT_GE(run_with_metrics("digits --optimizer sgd --steps 60").test_accuracy(), 0.85);
}

TEST_F(trainer, learns_in_double_and_without_hidden_layers) {
  EXPECT_GE(run_with_metrics("digits --steps 10 --precision double --hidden none --form primal")
                .test_accuracy(),
            0.85);
}

TEST_F(trainer, trains_on_a_directory_of_idx_files) {
  write_mnist();
  const Result result =
      run_with_metrics("mnist " + directory_.path() + " --hidden 5 --batch 7 --epochs 2");
  EXPECT_EQ(result.last()["step"], 10);
  EXPECT_TRUE(std::isfinite(result.last()["test_loss"].get<double>()));
}

}  // namespace
}  // namespace natgrad::tests
