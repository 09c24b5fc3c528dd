#pragma once

#include "support/files.hpp"
#include "support/idx_files.hpp"
#include "support/redirected.hpp"
#include "support/trainer_files.hpp"
#include "trainer/program.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <string>
#include <sys/wait.h>
#include <vector>
#include <wordexp.h>

// Runs natgrad-train itself, as a user does.

namespace natgrad::tests {

struct Result {
  int code = -1;
  std::string output;
  std::string errors;
  std::vector<json> metrics;

  const json& last() const { return metrics.back(); }
  double test_accuracy() const { return last().at("test_accuracy").get<double>(); }
};

class Trainer : public testing::Test {
 protected:
  // Tests run side by side: threads that wait by spinning would starve those of the other test.
  static void SetUpTestSuite() { setenv("OMP_WAIT_POLICY", "passive", 0); }

  std::string metrics_file() const { return directory_.file("metrics.jsonl"); }

  /// Runs the program with its standard output and error going to files. That the CPU is used for
  /// want of a device depends on the machine: that line is left out.
  Result run(const std::string& arguments) {
    const std::string output = directory_.file("output");
    const std::string errors = directory_.file("errors");
    const std::string command =
        std::string(NATGRAD_TRAIN) + " " + arguments + " >" + output + " 2>" + errors;
    const int status = std::system(command.c_str());
    return {WIFEXITED(status) ? WEXITSTATUS(status) : -1,
            read_file(output),
            without_fallback(read_file(errors)),
            {}};
  }

  /// The same without a process of its own, most of whose time goes into loading libraries. It
  /// leaves the number of threads to the next test.
  Result run_here(const std::string& arguments) {
    const std::string output = directory_.file("output");
    const std::string errors = directory_.file("errors");
    wordexp_t words;
    EXPECT_EQ(wordexp(("natgrad-train " + arguments).c_str(), &words, WRDE_NOCMD), 0) << arguments;
    int code = 0;
    {
      const Redirected to_output(STDOUT_FILENO, output);
      const Redirected to_errors(STDERR_FILENO, errors);
      code = trainer::run(static_cast<int>(words.we_wordc), words.we_wordv);
    }
    wordfree(&words);
    return {code, read_file(output), without_fallback(read_file(errors)), {}};
  }

  /// `run_here` of a run that must succeed and write metrics.
  Result run_here_with_metrics(const std::string& arguments) {
    Result result = run_here(arguments + " --metrics " + metrics_file());
    EXPECT_EQ(result.code, 0) << arguments << ": " << result.errors;
    if (result.code == 0) result.metrics = read_metrics(metrics_file());
    return result;
  }

  static std::string without_fallback(const std::string& errors) {
    const std::size_t end = errors.find("; the CPU is used\n");
    return end == std::string::npos ? errors : errors.substr(errors.find('\n', end) + 1);
  }

  /// A run that must succeed and write metrics.
  Result run_with_metrics(const std::string& arguments) {
    Result result = run(arguments + " --metrics " + metrics_file());
    EXPECT_EQ(result.code, 0) << result.errors;
    result.metrics = read_metrics(metrics_file());
    EXPECT_FALSE(result.metrics.empty());
    return result;
  }

  void expect_one_line_error(const std::string& arguments, int code, const std::string& text) {
    const Result result = run_here(arguments);
    EXPECT_EQ(result.code, code) << arguments;
    EXPECT_NE(result.errors.find(text), std::string::npos) << arguments << ": " << result.errors;
    EXPECT_EQ(std::count(result.errors.begin(), result.errors.end(), '\n'), 1) << result.errors;
    EXPECT_EQ(result.errors.rfind("natgrad-train: ", 0), 0) << result.errors;
  }

  void write_mnist() const {
    for (const std::string part : {"train", "t10k"}) {
      write_file(directory_.file(part + "-images-idx3-ubyte"), image_bytes(30));
      write_file(directory_.file(part + "-labels-idx1-ubyte"), label_bytes(30));
    }
  }

  TemporaryDirectory directory_;
};

}  // namespace natgrad::tests
