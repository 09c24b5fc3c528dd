#include "natgrad/natgrad.hpp"
#include "support/likelihood_tables.hpp"
#include "support/plain.hpp"
#include "support/trainer_runs.hpp"
#include "trainer/data/csv_dataset.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <variant>
#include <vector>

// The task csv of natgrad-train, run as a user does on tables that the tests write.

namespace natgrad::tests {
namespace {

class CsvTask : public Trainer {
 protected:
  void write_table(const LikelihoodTable& kind, int count) {
    write_file(table_, table_of(kind, count, 17));
  }

  std::string arguments(const LikelihoodTable& kind) const {
    return "csv " + table_ + " --target " + kind.name + " --likelihood " + kind.name +
           " --threads 1 ";
  }

  std::string checkpoint() const { return directory_.file("checkpoint"); }

  std::string table_ = directory_.file("table.csv");
};

using csv_task = CsvTask;

TEST_F(csv_task, learns_every_likelihood_from_defaults) {
  for (const LikelihoodTable& kind : likelihood_tables) {
    SCOPED_TRACE(kind.name);
    write_table(kind, 200);
    const Result result = run_with_metrics(arguments(kind));
    const std::string figure = kind.figure;
    std::vector<double> losses;
    for (const json& line : result.metrics) {
      if (line.contains("loss")) {
        losses.push_back(line["loss"]);
        EXPECT_TRUE(line.contains(figure));
      }
      if (line.contains("test_loss")) {
        EXPECT_TRUE(line.contains("test_" + figure));
      }
    }
    EXPECT_LT(losses.back(), losses.front());
    EXPECT_NE(result.output.find("160 rows to train on, 40 to test; "), std::string::npos)
        << result.output;
    EXPECT_NE(result.output.find("test " + figure + ' '), std::string::npos) << result.output;
  }
}

/// Ones beside the inputs.
Table with_intercept(const trainer::Dataset& data) {
  const auto& inputs = std::get<Numbers>(data.train.inputs);
  const auto columns = static_cast<std::size_t>(data.inputs);
  Table X(static_cast<std::size_t>(data.train.count), columns + 1);
  for (std::size_t n = 0; n < X.rows; ++n) {
    for (std::size_t i = 0; i < columns; ++i) X(n, i) = inputs[n * columns + i];
    X(n, columns) = 1;
  }
  return X;
}

double mean_of(Likelihood likelihood, double z) {
  if (likelihood == Likelihood::bernoulli) return 1 / (1 + std::exp(-z));
  return likelihood == Likelihood::poisson ? std::exp(z) : z;
}

double variance_of(Likelihood likelihood, double mean) {
  if (likelihood == Likelihood::bernoulli) return mean * (1 - mean);
  return likelihood == Likelihood::poisson ? mean : 1;
}

/// The maximum-likelihood estimate of a generalized linear model by iteratively reweighted least
/// squares (Nelder and Wedderburn 1972), its intercept last.
Numbers estimate(Likelihood likelihood, const Table& X, const Numbers& y) {
  Numbers beta(X.columns, 0.0);
  for (int step = 0; step < 30; ++step) {
    const Numbers z = multiply(X, beta);
    Numbers residuals(X.rows);
    Numbers weights(X.rows);
    for (std::size_t n = 0; n < X.rows; ++n) {
      const double mean = mean_of(likelihood, z[n]);
      residuals[n] = y[n] - mean;
      weights[n] = variance_of(likelihood, mean);
    }
    const Table F = gram(transposed(weighted(X, weights)));
    beta = sum(1, solve(F, 0, multiply(transposed(X), residuals)), beta);
  }
  return beta;
}

// Newton's method on the likelihood, for the exact Fisher matrix is its Hessian here.
TEST_F(csv_task, takes_generalized_linear_models_to_the_estimate_of_maximum_likelihood) {
  for (const LikelihoodTable& kind :
       {likelihood_tables[1], likelihood_tables[2], likelihood_tables[4]}) {
    for (const bool raw : {false, true}) {
      SCOPED_TRACE(std::string(kind.name) + (raw ? " raw" : ""));
      write_table(kind, 100);
      run_with_metrics(arguments(kind) + (raw ? "--raw " : "") +
                       "--hidden none --fisher exact --damping 0 --rate 1 --spring 0 --steps 10 "
                       "--precision double --checkpoint " +
                       checkpoint());
      FullyConnected net(
          Context::cpu(),
          {.sizes = {2, 1}, .likelihood = kind.likelihood, .type = ElementType::float64});
      NaturalGradient optimizer(net.parameters(), {.momentum = NoMomentum{}});
      Checkpoint(checkpoint()).restore(optimizer);
      const double* weights = net.parameters().tensor({0}).as<double>();
      const double* bias = net.parameters().tensor({1}).as<double>();

      const trainer::Dataset data = trainer::load_csv(table_, {.targets = kind.name,
                                                               .likelihood = kind.likelihood,
                                                               .raw = raw,
                                                               .precision = ElementType::float64});
      const Numbers beta =
          estimate(kind.likelihood, with_intercept(data), std::get<Numbers>(data.train.targets));
      const double tolerance = raw ? 1e-6 : 1e-8;  // raw columns are as good as collinear
      for (std::size_t i = 0; i < 2; ++i) EXPECT_NEAR(weights[i], beta[i], tolerance);
      EXPECT_NEAR(bias[0], beta[2], tolerance * (1 + std::abs(beta[2])));
    }
  }
}

TEST_F(csv_task, begins_where_the_mean_is_right) {
  write_table(likelihood_tables[4], 100);
  const trainer::Dataset data = trainer::load_csv(
      table_, {.targets = "poisson", .likelihood = Likelihood::poisson, .raw = true});
  const auto& counts = std::get<Numbers>(data.train.targets);
  double mean = 0;
  for (const double y : counts) mean += y / 80;
  double loss = 0;
  double squares = 0;
  for (const double y : counts) {
    loss += (mean - y * std::log(mean) + std::lgamma(y + 1)) / 80;
    squares += (y - mean) * (y - mean) / 80;
  }
  for (const std::string layers : {"none", "7", "5,3"}) {
    const json first =
        run_with_metrics(arguments(likelihood_tables[4]) + "--steps 1 --hidden " + layers)
            .metrics[0];
    EXPECT_NEAR(first["loss"].get<double>(), loss, 1e-5);
    EXPECT_NEAR(first["rmse"].get<double>(), std::sqrt(squares), 1e-5);
  }
}

TEST_F(csv_task, tells_errors_in_the_unit_of_the_target) {
  const std::string run =
      "--hidden none --fisher exact --damping 0 --rate 1 --spring 0 --steps 3 "
      "--precision double ";
  for (const LikelihoodTable& kind : {likelihood_tables[2], likelihood_tables[3]}) {
    write_table(kind, 100);
    const json scaled = run_with_metrics(arguments(kind) + run).metrics[0];
    const json raw = run_with_metrics(arguments(kind) + run + "--raw").metrics[0];
    EXPECT_NEAR(scaled["rmse"].get<double>(), raw["rmse"].get<double>(), 1e-10);
    EXPECT_GT(raw["rmse"].get<double>(), 2);
  }
}

TEST_F(csv_task, takes_the_deviation_of_gaussian) {
  write_table(likelihood_tables[2], 50);
  const auto loss = [&](const std::string& options) {
    return run_with_metrics(arguments(likelihood_tables[2]) +
                            "--hidden none --steps 1 --precision double " + options)
        .metrics[0]["loss"]
        .get<double>();
  };
  // The mean of (y - mean)^2 is 1.
  const double half_log_of_circle = 0.5 * std::log(2 * M_PI);
  EXPECT_NEAR(loss(""), half_log_of_circle + 0.5, 1e-12);
  EXPECT_NEAR(loss("--sigma 2"), half_log_of_circle + std::log(2) + 0.125, 1e-12);
}

TEST_F(csv_task, resumes_bit_for_bit) {
  for (const LikelihoodTable& kind : likelihood_tables) {
    write_table(kind, 60);
    for (const std::string options :
         {"--fisher sampled --batch 20 ", "--fisher exact --batch 30 "}) {
      SCOPED_TRACE(kind.name + (' ' + options));
      const std::string run = arguments(kind) + options + "--hidden 5 --rate 0.03 --quiet ";
      const Result whole = run_with_metrics(run + "--epochs 4");
      run_with_metrics(run + "--epochs 2 --checkpoint " + checkpoint());
      const Result resumed = run_with_metrics(run + "--epochs 4 --resume " + checkpoint());
      EXPECT_EQ(without_seconds(resumed.metrics), without_seconds(whole.metrics));
    }
  }
  write_table(likelihood_tables[4], 80);
  expect_one_line_error(
      arguments(likelihood_tables[4]) +
          "--fisher exact --batch 30 --hidden 5 --rate 0.03 --epochs 4 --resume " + checkpoint(),
      2, "the run has 48 rows to train on and 12 to test, here are 64 and 16");
}

/// A table of the same size with one other number is no data to go on with; one that holds the same
/// numbers is, whatever its name.
TEST_F(csv_task, goes_on_with_the_same_numbers_only) {
  const auto table = [](const std::string& last) {
    std::string text = "x,y\n";
    for (int n = 0; n < 19; ++n) text += std::to_string(n) + ',' + std::to_string(n % 3) + '\n';
    return text + last;
  };
  const auto run_of = [](const std::string& file) {
    return "csv " + file + " --target y --likelihood poisson --hidden 3 --quiet --threads 1 ";
  };
  write_file(table_, table("19,2\n"));
  run_with_metrics(run_of(table_) + "--epochs 2 --checkpoint " + checkpoint());
  const std::string moved = directory_.file("moved.csv");
  write_file(moved, table("19.0, 2\r\n"));
  run_with_metrics(run_of(moved) + "--epochs 3 --resume " + checkpoint());
  write_file(table_, table("19,3\n"));
  expect_one_line_error(run_of(table_) + "--epochs 3 --resume " + checkpoint(), 2,
                        "checkpoint: the run is on other data of this size, with checksum ");
}

/// In both precisions, from the start that every run has.
TEST_F(csv_task, ends_where_separable_data_have_no_estimate) {
  std::string text = "x,y\n";
  for (int n = 0; n < 40; ++n) text += std::to_string(n) + ',' + (n < 20 ? "0" : "1") + '\n';
  write_file(table_, text);
  for (const std::string precision : {"float", "double"}) {
    expect_one_line_error("csv " + table_ +
                              " --target y --likelihood bernoulli --hidden none --damping 0 "
                              "--rate 1 --spring 0 --threads 1 --quiet --epochs 100 --precision " +
                              precision,
                          3, "the last as not_positive_definite at damping 0");
  }
}

TEST_F(csv_task, takes_many_outputs_and_the_divergence_of_a_step) {
  std::string text = "a,b,c,d\n";
  Random random(3);
  for (int n = 0; n < 60; ++n) {
    const double x = random();
    text += std::to_string(x) + ',' + std::to_string(x > 0) + ',' + std::to_string(0.5 + 0.5 * x) +
            ',' + std::to_string(random() > 0) + '\n';
  }
  write_file(table_, text);
  const Result result = run_with_metrics("csv " + table_ +
                                         " --target b,c,d --likelihood bernoulli --fisher exact "
                                         "--step-rule kl --kl-radius 1e-3 --spring 0 --rate 1 "
                                         "--hidden 4 --steps 6");
  EXPECT_NEAR(result.metrics[0]["predicted_kl"].get<double>(), 1e-3, 1e-6);
  EXPECT_NE(result.output.find("; bernoulli net 1-4-3 tanh, 23 parameters"), std::string::npos)
      << result.output;
}

// 800,000 rows, whose Gram matrix would take 5 TB.
TEST_F(csv_task, refuses_exact_rows_without_room_and_names_the_way_out) {
  std::string text = "x,y\n";
  for (int n = 0; n < 500'000; ++n) text += n % 3 == 0 ? "0,0\n" : "1,1\n";
  write_file(table_, text);
  const std::string run = "csv " + table_ +
                          " --target y --likelihood categorical --fisher exact --hidden none "
                          "--batch 400000 --form dual --precision double --device cpu --quiet";
  expect_one_line_error(run, 2, "--fisher sampled one for each draw: optimizer: .memory_budget");
}

TEST_F(csv_task, refuses_what_it_cannot_read_in_one_line) {
  const std::string run = "csv " + table_ + " --target y --likelihood poisson";
  const struct {
    const char* text;
    std::string arguments;
    const char* error;
  } cases[] = {
      {"x,y\n1,2\n", "csv", "csv needs the file of comma-separated values"},
      {"x,y\n1,2\n", "csv " + table_, "csv needs --target COLUMN"},
      {"x,y\n1,2\n", "csv " + table_ + " --target y", "csv needs --target COLUMN"},
      {"x,y\n1,2\n", "csv " + table_ + " --target '' --likelihood poisson",
       "--target \"\": expected the name of a column"},
      {"x,y\n1,2\n", "csv " + table_ + " --target y --likelihood normal",
       "--likelihood normal: expected categorical|bernoulli|gaussian|gaussian-scale|poisson"},
      {"x,y\n1,2\n", run + " --sigma 2", "--sigma: has no meaning without --likelihood gaussian"},
      {"x,y\n1,2\n", "digits --target y", "--target: has no meaning with digits"},
      {"x,y\n1,2\n", "csv " + directory_.file("none") + " --target y --likelihood poisson",
       "none: No such file"},
      {"", run, "table.csv: is empty"},
      {"x,y\n1,2\n3,\n", run, "table.csv: line 3, column 2 (\"y\"): the value is missing"},
      {"x,y\n1,2\n3,many\n", run, "table.csv: line 3, column 2 (\"y\"): \"many\" is no number"},
      {"x,y\n1,2\n3\n", run, "table.csv: line 3: 1 values, expected 2"},
      {"x,x\n1,2\n3,4\n", run, "table.csv: line 1, column 2: has the name of column 1, \"x\""},
      {"x,z\n1,2\n3,4\n", run, "table.csv: has no column \"y\", but x, z"},
      {"x,y\n1,2\n3,-4\n", run, "-4 is no target of --likelihood poisson"},
      {"x,y\n1,2\n3,4\n", "csv " + table_ + " --target y,x --likelihood poisson",
       "has no column beside the targets"},
  };
  for (const auto& bad : cases) {
    write_file(table_, bad.text);
    expect_one_line_error(bad.arguments, 2, bad.error);
  }
}

TEST_F(csv_task, warns_of_a_constant_column_and_goes_on) {
  std::string text = "x,same,y\n";
  for (int n = 0; n < 20; ++n) text += std::to_string(n) + ",7," + std::to_string(n % 5) + '\n';
  write_file(table_, text);
  const std::string arguments =
      "csv " + table_ + " --target y --likelihood poisson --steps 2 --metrics " + metrics_file();
  const Result result = run(arguments);
  EXPECT_EQ(result.code, 0);
  EXPECT_EQ(result.errors, "natgrad-train: " + table_ +
                               ": column 2 (\"same\") is constant in the training set, 7: it "
                               "becomes zeros\n");
  EXPECT_EQ(run(arguments + " --quiet").errors, "");
  EXPECT_EQ(run(arguments + " --raw").errors, "");
}

}  // namespace
}  // namespace natgrad::tests
