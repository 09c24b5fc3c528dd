#include "natgrad/natgrad.hpp"
#include "support/files.hpp"
#include "support/trainer_files.hpp"
#include "trainer/json_blob.hpp"
#include "trainer/optimizers.hpp"
#include "trainer/option_types.hpp"
#include "trainer/plan.hpp"
#include "trainer/training.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <vector>

// A task that is nothing like the trainer's: no data, labels or epochs, rows that it forms itself,
// figures and an option of its own. The training loop must hold it by its interface.

namespace natgrad::tests {
namespace {

using trainer::BatchPosition;
using trainer::CommandLine;
using trainer::Figures;
using trainer::Settings;
using trainer::Task;
using trainer::TaskRow;

/// Fits the mean of a Gaussian of variance 1 to eight points of a circle about (3, ..., 3), which
/// turns a little with every step. log p = -|theta - x|^2 / 2, s = x - theta.
class MeanTask : public Task {
 public:
  MeanTask(const Settings& settings, const Context& context)
      : size_(settings.get<std::int64_t>("--dim")),
        theta_(context.array({size_, 1}, ElementType::float64)),
        rows_(context.array({points, size_}, ElementType::float64)),
        parameters_(context),
        scores_(parameters_, {.kind = FisherKind::sampled}),
        of_data_(parameters_) {
    parameters_.add(theta_, "mean");
    for (std::int64_t i = 0; i < size_; ++i) theta_.view().as<double>()[i] = 0;
  }

  const Parameters& parameters() const override { return parameters_; }
  std::string headline() const override { return "mean of " + std::to_string(size_); }
  std::int64_t steps_per_epoch() const override { return 0; }
  std::int64_t numbers() const override { return 1; }

  BatchPosition next(const View& numbers) override {
    const double* theta = theta_.view().as<double>();
    auto* rows = rows_.view().as<double>();
    for (std::int64_t n = 0; n < points; ++n) {
      const double angle = 0.1 * static_cast<double>(turns_) + M_PI * static_cast<double>(n) / 4;
      for (std::int64_t i = 0; i < size_; ++i) {
        rows[n * size_ + i] = 3 + (i % 2 == 0 ? std::cos(angle) : std::sin(angle)) - theta[i];
      }
    }
    *numbers.as<double>() = 0.5 * error() * error();
    ++turns_;
    return {.samples = points};
  }
  Figures figures(std::span<const double> numbers, const BatchPosition&) const override {
    return {{"energy", numbers[0]}};
  }
  natgrad::Batch batch() override {
    scores_.begin(rows_);
    of_data_.begin(rows_);
    return {.fisher = scores_, .gradient = of_data_};
  }
  void gradient(const View& gradient) override {
    of_data_.begin(rows_);
    of_data_.gradient(gradient);
  }

  Figures evaluate() override { return {{"l2_error", error() > 1e6 ? NAN : error()}}; }
  std::string in_words(const Figures& evaluation) const override {
    return "L2 error " + std::to_string(evaluation.front().value);
  }
  std::string summary(const Figures& evaluation) const override { return in_words(evaluation); }

  Blobs save() const override { return {{"turns", trainer::to_blob({{"count", turns_}})}}; }
  void restore(const Blobs& blobs, const std::string& file) override {
    turns_ = trainer::BlobReader(blobs, "turns", file).get<std::int64_t>("count");
  }

 private:
  static constexpr std::int64_t points = 8;

  double error() const {
    double square = 0;
    for (std::int64_t i = 0; i < size_; ++i) {
      const double difference = theta_.view().as<double>()[i] - 3;
      square += difference * difference;
    }
    return std::sqrt(square);
  }

  std::int64_t size_;
  Array theta_;
  Array rows_;
  Parameters parameters_;
  DenseScores scores_;   // as if the points were drawn from the model
  DenseScores of_data_;  // the same points as data
  std::int64_t turns_ = 0;
};

const TaskRow& mean_task() {
  static const TaskRow row = {
      .name = "mean",
      .help = "mean of a Gaussian",
      .takes = {},
      .options = {{.name = "--dim",
                   .group = "Model",
                   .type = trainer::number(trainer::counting, "N"),
                   .help = "dimensions",
                   .otherwise = "2"}},
      .defaults = {{"--steps", "5"}, {"--evaluate-every", "2"}, {"--precision", "double"}},
      .make = [](const Settings& s, const Context& c) { return std::make_unique<MeanTask>(s, c); },
      .memory =
          [](const Settings& s, const Context&) {
            const auto size = s.get<std::int64_t>("--dim");
            return trainer::TaskMemory{
                .batch = {.samples = 8, .gradient = ScoresShape::Source::other_rows},
                .tensors = {{size, 1}},
                .items = {{"points", 8 * size * 8}}};
          }};
  return row;
}

class TaskTest : public testing::Test {
 protected:
  using Given = std::map<std::string, std::string>;

  /// Trains as the program does, and returns the lines of the metrics.
  std::vector<json> train(Given given, const trainer::SavedRun* saved = nullptr) {
    const Settings settings({.task = "mean", .operand = "", .given = std::move(given)},
                            mean_task());
    const auto task = settings.task().make(settings, Context::cpu());
    const std::string file = directory_.file("metrics");
    {
      trainer::MetricsFile metrics(file, saved != nullptr ? saved->state().metrics : 0);
      trainer::Progress progress(trainer::Progress::Style::silent);
      trainer::Stopwatch stopwatch(trainer::Stopwatch::Clock::now());
      const auto warn = [this](std::string_view text) { warnings_.emplace_back(text); };
      trainer::train(settings, *task, {metrics, progress, stopwatch, warn}, saved);
    }
    return read_metrics(file);
  }

  TemporaryDirectory directory_;
  std::vector<std::string> warnings_;
};

using trainer_task = TaskTest;

TEST_F(trainer_task, without_data_or_epochs_is_trained_and_evaluated) {
  const std::vector<json> lines = train({{"--rate", "0.5"}});
  // Five steps, evaluations behind the second, fourth and fifth, and the final line.
  ASSERT_EQ(lines.size(), 9);
  double error = 3 * std::sqrt(2.0);
  EXPECT_DOUBLE_EQ(lines[0]["energy"], error * error / 2);
  for (const std::size_t evaluation : {2, 5, 7}) {
    EXPECT_LT(lines[evaluation]["l2_error"], error);
    error = lines[evaluation]["l2_error"];
  }
  EXPECT_EQ(lines[5]["step"], 4);
  EXPECT_EQ(lines.back()["l2_error"], lines[7]["l2_error"]);
  EXPECT_EQ(lines.back()["energy"], lines[6]["energy"]);
  EXPECT_EQ(lines.back()["final"], true);
  EXPECT_TRUE(lines[0].contains("predicted_kl"));
  for (const json& line : lines) EXPECT_FALSE(line.contains("epoch")) << line;
  EXPECT_TRUE(warnings_.empty());
}

TEST_F(trainer_task, goes_on_where_its_checkpoint_stands) {
  for (const std::string optimizer : {"natural", "adam"}) {
    const std::vector<json> whole = train({{"--optimizer", optimizer}});
    const std::string checkpoint = directory_.file("checkpoint");
    train({{"--optimizer", optimizer}, {"--steps", "4"}, {"--checkpoint", checkpoint}});
    const Given again = {{"--optimizer", optimizer}};
    const trainer::SavedRun saved(checkpoint, Settings({"mean", "", again}, mean_task()));
    EXPECT_EQ(without_seconds(train(again, &saved)), without_seconds(whole));
    const Settings larger({"mean", "", {{"--dim", "3"}, {"--optimizer", optimizer}}}, mean_task());
    EXPECT_THROW(trainer::SavedRun(checkpoint, larger), OptionError);
  }
}

TEST_F(trainer_task, ends_where_a_figure_is_not_finite) {
  try {
    train({{"--optimizer", "sgd"}, {"--rate", "1e7"}});
    FAIL();
  } catch (const trainer::Diverged& error) {
    EXPECT_STREQ(error.what(), "diverged: the l2 error is not finite at step 2");
  }
  EXPECT_TRUE(read_metrics(directory_.file("metrics")).back()["l2_error"].is_null());
}

/// A step has no room for its rows.
class TaskWithoutRoom : public MeanTask {
 public:
  using MeanTask::MeanTask;
  natgrad::Batch batch() override { throw MemoryError("no room"); }
};

/// Only rows of a net are one for each output of a sample.
TEST_F(trainer_task, a_lack_of_memory_is_explained_where_rows_are_of_outputs) {
  for (const bool is_net : {false, true}) {
    TaskRow row = mean_task();
    Given given = {{"--fisher", "exact"}};
    if (is_net) {
      row.takes = {"--hidden"};
      given["--hidden"] = "4";
    }
    const Settings settings({"mean", "", given}, row);
    TaskWithoutRoom task(settings, Context::cpu());
    const auto optimizer = trainer::make_optimizer(settings, task.parameters(), 5);
    try {
      optimizer->step(task);
      FAIL() << "there was no room";
    } catch (const MemoryError& error) {
      EXPECT_EQ(error.what(), std::string(is_net ? "--fisher exact takes a row for each output of "
                                                   "a sample, --fisher sampled one for each draw: "
                                                 : "") +
                                  "no room");
    }
  }
}

TEST_F(trainer_task, has_options_of_its_own_and_those_of_every_task) {
  const Settings settings({"mean", "", {{"--dim", "7"}, {"--rate", "0.50"}}}, mean_task());
  EXPECT_EQ(settings.get<std::int64_t>("--dim"), 7);
  EXPECT_EQ(settings.get<std::int64_t>("--evaluate-every"), 2);
  EXPECT_EQ(settings.in_words("--rate"), "0.5");
  EXPECT_FALSE(settings.has("--hidden"));
  EXPECT_THROW(settings.get<double>("--dim"), std::logic_error);
  EXPECT_THROW(settings.get<double>("--hidden"), std::logic_error);
  const std::vector<trainer::NamedValue> saved = settings.saved();
  const auto has = [&](const std::string& name, const std::string& value) {
    return std::ranges::find(saved, trainer::NamedValue{name, value}) != saved.end();
  };
  EXPECT_TRUE(has("TASK", "mean"));
  EXPECT_TRUE(has("--dim", "7"));
  EXPECT_TRUE(has("--rate", "0.5"));
  EXPECT_TRUE(has("--precision", "double"));
  EXPECT_FALSE(has("--steps", "5"));
  for (const char* option : {"--epochs", "--hidden", "--split"}) {
    try {
      Settings({"mean", "", {{option, "1"}}}, mean_task());
      FAIL() << option;
    } catch (const OptionError& error) {
      EXPECT_EQ(error.what(), std::string(option) + ": has no meaning with mean");
    }
  }
}

TEST_F(trainer_task, is_planned) {
  const Settings settings({"mean", "", {{"--dim", "5"}}}, mean_task());
  const std::string text = trainer::plan(settings, Context::cpu());
  EXPECT_EQ(text.rfind("plan of a batch of 8 rows, ", 0), 0) << text;
  EXPECT_NE(text.find("\npoints: 320 bytes, 320 bytes\n"), std::string::npos) << text;
}

}  // namespace
}  // namespace natgrad::tests
