#include "natgrad/natgrad.hpp"
#include "support/plain.hpp"
#include "support/trainer_runs.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <utility>
#include <vector>

// A run that is stopped, in whatever way, and resumed leaves the figures of one that was not.

namespace natgrad::tests {
namespace {

/// A short run with these options; the program takes none of them twice.
std::string small(const std::string& options) {
  std::string all = "digits --threads 1 --quiet " + options;
  for (const std::string otherwise : {"--hidden 16", "--batch 480"}) {
    const std::string name = otherwise.substr(0, otherwise.find(' '));
    if (options.find(name) == std::string::npos) all += ' ' + otherwise;
  }
  return all;
}

class Resume : public Trainer {
 protected:
  std::string checkpoint() const { return directory_.file("checkpoint"); }
  std::string saving() const { return " --checkpoint " + checkpoint(); }
  std::string resuming() const { return " --resume " + checkpoint(); }
  Result run_small(const std::string& options) { return run_with_metrics(small(options)); }
};

using trainer_resume = Resume;

TEST_F(trainer_resume, trains_on_as_if_it_had_not_stopped) {
  for (const std::string options :
       {"", "--momentum 0.9 --precision double", "--spring 0 --form primal --hidden none",
        "--fisher sampled --rate 0.3",
        "--fisher sampled --fisher-draws 2 --step-rule kl --rate 0.4",
        "--step-rule backtracking --damping 0.1:0.9:0.01",
        "--fisher sampled --step-rule quadratic --structure block_diagonal --damping lm",
        "--max-norm 0.3 --refinement 1", "--damping 0.1 --damping-scaling tensor --form dual",
        "--optimizer sgd", "--optimizer sgd --momentum 0", "--optimizer adam"}) {
    SCOPED_TRACE(options);
    const Result whole = run_small(options + " --epochs 5");
    run_small(options + " --epochs 2" + saving());
    EXPECT_EQ(read_metrics(metrics_file()).back()["step"], 6);
    const Result resumed = run_small(options + " --epochs 5" + resuming());
    EXPECT_EQ(without_seconds(resumed.metrics), without_seconds(whole.metrics));
  }
}

TEST_F(trainer_resume, refuses_other_options_of_the_fisher) {
  run_small("--fisher sampled --step-rule kl --epochs 1" + saving());
  const auto refuse = [&](const std::string& options, const std::string& text) {
    expect_one_line_error(small("--fisher sampled " + options + resuming()), 2, text);
  };
  refuse("--step-rule kl --fisher-draws 2", "--fisher-draws 2: the run in ");
  refuse("--step-rule kl --kl-radius 2e-2", "--kl-radius 0.02: the run in ");
  refuse("", "--step-rule fixed: the run in ");
}

TEST_F(trainer_resume, goes_on_within_an_epoch) {
  const std::string options = "--batch 100 --evaluate-every 7 --seed 3";
  const Result whole = run_small(options + " --steps 49");
  run_small(options + " --steps 21" + saving());
  const Result resumed = run_small(options + " --steps 49" + resuming());
  EXPECT_EQ(without_seconds(resumed.metrics), without_seconds(whole.metrics));
}

TEST_F(trainer_resume, lets_the_seconds_go_on) {
  const Result first = run_small("--epochs 20" + saving());
  const Result resumed = run_small("--epochs 30" + resuming());
  for (const char* name : {"seconds", "evaluation_seconds"}) {
    double before = 0;
    for (const json& line : resumed.metrics) {
      // Sums of durations that were cut in two are rounded elsewhere.
      EXPECT_GE(line[name].get<double>(), before - 1e-9);
      before = line[name].get<double>();
    }
    EXPECT_GT(before, first.last()[name].get<double>());
  }
}

TEST_F(trainer_resume, prints_the_final_figures_of_a_finished_run) {
  const Result first = run_small("--epochs 3" + saving());
  const std::string metrics = read_file(metrics_file());
  const std::string saved = read_file(checkpoint());
  for (int time = 0; time < 2; ++time) {
    const Result again = run("digits --hidden 16 --batch 480 --epochs 3" + resuming() + saving() +
                             " --metrics " + metrics_file());
    EXPECT_EQ(again.code, 0) << again.errors;
    EXPECT_NE(again.output.find("; resumed at step 9\n"), std::string::npos) << again.output;
    EXPECT_NE(again.output.find(" after 9 steps in "), std::string::npos) << again.output;
    EXPECT_EQ(read_file(metrics_file()), metrics);
    EXPECT_TRUE(read_file(checkpoint()) == saved);
  }
}

TEST_F(trainer_resume, does_not_write_where_it_only_reads) {
  run_small("--epochs 1" + saving());
  const std::string saved = read_file(checkpoint());
  run_small("--epochs 2" + resuming());
  EXPECT_TRUE(read_file(checkpoint()) == saved);
  run_small("--epochs 2" + resuming() + " --checkpoint " + directory_.file("other"));
  EXPECT_TRUE(read_file(checkpoint()) == saved);
  EXPECT_GT(read_file(directory_.file("other")).size(), 1000);
}

TEST_F(trainer_resume, begins_metrics_that_are_missing_and_refuses_shorter_ones) {
  run_small("--epochs 2" + saving());
  const std::string metrics = read_file(metrics_file());
  const std::string arguments = small("--epochs 4" + resuming());
  std::filesystem::remove(metrics_file());
  const Result resumed = run_with_metrics(arguments);
  EXPECT_EQ(resumed.metrics.front()["step"], 7);
  EXPECT_EQ(resumed.last()["step"], 12);

  write_file(metrics_file(), "{}\n");
  expect_one_line_error(arguments + " --metrics " + metrics_file(), 2,
                        metrics_file() + ": has 3 bytes, at the checkpoint it had");
  EXPECT_EQ(read_file(metrics_file()), "{}\n");
}

TEST_F(trainer_resume, appends_where_there_were_no_metrics_at_the_checkpoint) {
  EXPECT_EQ(run(small("--epochs 2" + saving())).code, 0);
  write_file(metrics_file(), "{}\n");
  const Result resumed = run_small("--epochs 3" + resuming());
  EXPECT_TRUE(resumed.metrics[0].empty());
  EXPECT_EQ(resumed.metrics[1]["step"], 7);
}

TEST_F(trainer_resume, refuses_other_options_and_names_both_values) {
  run_small("--epochs 2" + saving());
  const std::string saved = read_file(checkpoint());
  const std::string metrics = read_file(metrics_file());
  const struct {
    const char* arguments;
    const char* text;
    const char* before;
  } cases[] = {
      {"--batch 100", "--batch 100: the run in ", " has --batch 480"},
      {"--hidden 16,4", "--hidden 16,4: ", " has --hidden 16"},
      {"--hidden none", "--hidden none: ", " has --hidden 16"},
      {"--activation relu", "--activation relu: ", " has --activation tanh"},
      {"--seed 1", "--seed 1: ", " has --seed 0"},
      {"--split 1", "--split 1: ", " has --split 0"},
      {"--precision double", "--precision double: ", " has --precision float"},
      {"--allow-tf32", "--allow-tf32 on: ", " has --allow-tf32 none"},
      {"--optimizer adam", "--optimizer adam: ", " has --optimizer natural"},
      {"--form dual", "--form dual: ", " has --form auto"},
      {"--fisher sampled", "--fisher sampled: ", " has --fisher empirical"},
      {"--max-norm 2", "--max-norm 2: ", " has --max-norm none"},
      {"--refinement 1", "--refinement 1: ", " has --refinement 0"},
      {"--rate 0.3", "--rate 0.3: ", " has --rate 0.4"},
      {"--rate 0.4:linear", "--rate 0.4:linear: ", " has --rate 0.4"},
      {"--damping relative:1", "--damping relative:1: ", " has --damping 0.03"},
      {"--momentum 0.9", "--momentum 0.9: ", " has --momentum none"},
      {"--spring 0.8", "--spring 0.8: ", " has --spring 0.9"},
      {"--weight-decay 0", "--weight-decay 0: ", " has --weight-decay 0.1"},
      {"--steps 5", "--epochs or --steps: the run in ", "at step 6 already"},
  };
  for (const auto& bad : cases) {
    const std::string arguments =
        small(bad.arguments + resuming() + saving() + " --metrics " + metrics_file());
    expect_one_line_error(arguments, 2, bad.text);
    const std::string errors = run(arguments).errors;
    EXPECT_NE(errors.find(bad.before), std::string::npos) << errors;
  }
  EXPECT_TRUE(read_file(checkpoint()) == saved);
  EXPECT_EQ(read_file(metrics_file()), metrics);
}

TEST_F(trainer_resume, refuses_files_that_are_no_run) {
  const std::string arguments = small(resuming());
  expect_one_line_error(arguments, 2, checkpoint() + ": cannot be read: No such file");
  run_small("--epochs 2" + saving());
  const std::string saved = read_file(checkpoint());
  write_file(checkpoint(), saved.substr(0, saved.size() / 2));
  expect_one_line_error(arguments, 2, checkpoint() + ": the checkpoint is cut off");
  write_file(checkpoint(), "{}");
  expect_one_line_error(arguments, 2, checkpoint() + ": is not a checkpoint of natgrad");
  FullyConnected net(Context::cpu(), {.sizes = {64, 16, 10}});
  save(checkpoint(), NaturalGradient(net.parameters()));
  expect_one_line_error(arguments, 2, checkpoint() + ": is no run of natgrad-train");
}

TEST_F(trainer_resume, refuses_other_data) {
  write_mnist();
  const std::string arguments = "mnist " + directory_.path() + " --hidden 5 --quiet --epochs ";
  EXPECT_EQ(run(arguments + "1" + saving()).code, 0);
  write_file(directory_.file("train-images-idx3-ubyte"), image_bytes(29));
  write_file(directory_.file("train-labels-idx1-ubyte"), label_bytes(29));
  expect_one_line_error(arguments + "2" + resuming(), 2,
                        "has 30 images to train on and 30 to test, here are 29 and 30");
  write_mnist();
  EXPECT_EQ(run(arguments + "2" + resuming()).code, 0);
  std::string labels = label_bytes(30);
  std::swap(labels[labels.size() - 1], labels[labels.size() - 2]);
  write_file(directory_.file("t10k-labels-idx1-ubyte"), labels);
  expect_one_line_error(arguments + "2" + resuming(), 2,
                        "the run is on other data of this size, with checksum ");
}

TEST_F(trainer_resume, says_before_it_trains_that_a_checkpoint_cannot_be_written) {
  const std::string nowhere = directory_.file("nowhere/checkpoint");
  const Result result = run("digits --checkpoint " + nowhere);
  EXPECT_EQ(result.code, 2);
  EXPECT_EQ(result.output, "");
  EXPECT_NE(result.errors.find(nowhere + ": cannot be written: No such file"), std::string::npos);
  expect_one_line_error("digits --checkpoint /dev/full", 2, "/dev/full: cannot be written");
  expect_one_line_error("digits --checkpoint x --metrics x", 2, "--metrics x: is the file of the");
  expect_one_line_error("digits --checkpoint x --metrics ./x", 2, "--metrics ./x: is the file of");
}

// The file is made of about 20 KB; a shell's unit is 512 or 1024 bytes.
TEST_F(trainer_resume, keeps_the_last_checkpoint_when_the_disk_is_full) {
  run_small("--epochs 1" + saving());
  const std::string saved = read_file(checkpoint());
  ASSERT_GT(saved.size(), 10000);
  const std::string more = small("--epochs 2" + saving() + resuming());
  const std::string command = "trap '' XFSZ; ulimit -f 8; exec " + std::string(NATGRAD_TRAIN) +
                              ' ' + more + " 2>" + directory_.file("errors");
  const int status = std::system(command.c_str());
  EXPECT_EQ(WIFEXITED(status) ? WEXITSTATUS(status) : -1, 2);
  EXPECT_NE(read_file(directory_.file("errors")).find(checkpoint() + ": cannot be written: File"),
            std::string::npos);
  EXPECT_TRUE(read_file(checkpoint()) == saved);
  EXPECT_EQ(run(more).code, 0);
}

/// Starts natgrad-train.
pid_t start(const std::vector<std::string>& arguments) {
  std::vector<char*> argv;
  std::string program = NATGRAD_TRAIN;
  argv.push_back(program.data());
  std::vector<std::string> copies = arguments;
  for (std::string& argument : copies) argv.push_back(argument.data());
  argv.push_back(nullptr);
  const pid_t child = fork();
  if (child == 0) {
    execv(argv[0], argv.data());
    _exit(127);
  }
  return child;
}

int wait_for(pid_t child) {
  int status = -1;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  return status;
}

/// One kind of run, of some tenths of a second.
struct KilledRun {
  std::vector<std::string> options;
  std::string expected{};           // figures of the run that nobody stops
  std::chrono::nanoseconds time{};  // that it takes
};

class Kill : public Resume {
 protected:
  std::vector<std::string> arguments(const KilledRun& run) const {
    std::vector<std::string> all = {"digits",    "--hidden",    "16",           "--threads",
                                    "1",         "--quiet",     "--checkpoint", checkpoint(),
                                    "--metrics", metrics_file()};
    all.insert(all.end(), run.options.begin(), run.options.end());
    return all;
  }
  void clear() const {
    std::filesystem::remove(checkpoint());
    std::filesystem::remove(metrics_file());
  }
  void measure(KilledRun& run) const {
    run.time = std::chrono::hours(1);
    for (int time = 0; time < 3; ++time) {
      clear();
      const auto begin = std::chrono::steady_clock::now();
      EXPECT_EQ(wait_for(start(arguments(run))), 0);
      run.time =
          std::min<std::chrono::nanoseconds>(run.time, std::chrono::steady_clock::now() - begin);
    }
    run.expected = without_seconds(read_metrics(metrics_file()));
  }
};

using trainer_killed = Kill;

TEST_F(trainer_killed, at_random_instants_leaves_no_trace) {
  std::array runs = {
      KilledRun{{"--batch", "100", "--epochs", "40"}},
      // A checkpoint a step: the kill often meets one that is being written.
      KilledRun{{"--batch", "200", "--epochs", "15", "--evaluate-every", "1"}},
      // Labels drawn anew, and a rate that falls over the whole run.
      KilledRun{{"--batch", "200", "--epochs", "30", "--fisher", "sampled"}},
      KilledRun{{"--batch", "50", "--epochs", "40", "--optimizer", "adam"}},
      KilledRun{{"--batch", "50", "--epochs", "40", "--optimizer", "sgd", "--precision", "double"}},
  };
  for (KilledRun& run : runs) measure(run);

  Random random(17);
  constexpr std::size_t kills = 15;
  int in_time = 0;
  int resumed = 0;
  for (std::size_t i = 0; i < kills; ++i) {
    const KilledRun& run = runs[i % runs.size()];
    SCOPED_TRACE(testing::Message() << "kill " << i);
    clear();
    const double instant = 0.45 * (random() + 1);  // of the time that the run takes
    const pid_t child = start(arguments(run));
    std::this_thread::sleep_for(instant * run.time);
    kill(child, SIGKILL);
    in_time += WIFSIGNALED(wait_for(child)) ? 1 : 0;

    std::vector<std::string> again = arguments(run);
    if (std::filesystem::exists(checkpoint())) {
      again.insert(again.end(), {"--resume", checkpoint()});
      ++resumed;
    }
    ASSERT_EQ(wait_for(start(again)), 0);
    ASSERT_EQ(without_seconds(read_metrics(metrics_file())), run.expected);
  }
  EXPECT_GE(in_time, 8) << "the other runs had ended before";
  EXPECT_GE(resumed, 4) << "the other runs had no checkpoint yet";
  RecordProperty("in_time", in_time);
  RecordProperty("resumed", resumed);
}

}  // namespace
}  // namespace natgrad::tests
