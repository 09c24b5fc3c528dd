#include "trainer/training.hpp"

#include "trainer/optimizers.hpp"
#include "trainer/step_queue.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <vector>

namespace natgrad::trainer {

namespace {

std::int64_t total_steps(const Settings& settings, const Task& task) {
  std::int64_t total = std::numeric_limits<std::int64_t>::max();
  if (settings.has("--steps")) total = settings.get<std::int64_t>("--steps");
  if (settings.has("--epochs")) {
    total = std::min(total, settings.get<std::int64_t>("--epochs") * task.steps_per_epoch());
  }
  return total;
}

class Training {
 public:
  Training(const Settings& settings, Task& task, const Outputs& outputs, const SavedRun* saved);
  void run();

 private:
  void resume(const SavedRun& saved);
  void save();
  void finish();
  BatchPosition take_step(std::int64_t step);
  void collect();
  void evaluate();
  bool evaluation_is_due(const BatchPosition& batch, std::int64_t step) const;
  void require_finite(const Figures& figures, Record record);
  void stamp(Record& record) const;

  const Settings& settings_;
  Task& task_;
  Outputs outputs_;
  std::int64_t total_steps_;
  std::unique_ptr<Optimizer> optimizer_;
  StepQueue queue_;
  Record last_;  // of the last step, with the figures of the last evaluation
};

Training::Training(const Settings& settings, Task& task, const Outputs& outputs,
                   const SavedRun* saved)
    : settings_(settings),
      task_(task),
      outputs_(outputs),
      total_steps_(total_steps(settings, task)),
      optimizer_(make_optimizer(settings, task.parameters(), total_steps_)),
      queue_(task.parameters().context(), task.numbers()) {
  stamp(last_);
  if (saved != nullptr) resume(*saved);
  outputs_.metrics.begin();
  for (const std::string& warning : task_.warnings()) outputs_.warn(warning);
  const std::string from =
      last_.step > 0 ? fmt::format("; resumed at step {}", last_.step) : std::string();
  outputs_.progress.begin(task_.headline() + from, total_steps_, last_,
                          last_.step > 0 ? task_.in_words(last_.evaluation) : "");
}

void Training::resume(const SavedRun& saved) {
  saved.require_before(total_steps_);
  task_.restore(saved.checkpoint().blobs(), saved.checkpoint().path());
  optimizer_->restore(saved.checkpoint());
  last_ = saved.state().last;
  outputs_.stopwatch.add(last_.seconds, last_.evaluation_seconds);
}

void Training::run() {
  for (std::int64_t step = last_.step + 1; step <= total_steps_; ++step) {
    const BatchPosition batch = take_step(step);
    const bool evaluates = step == total_steps_ || evaluation_is_due(batch, step);
    if (evaluates || queue_.is_due()) collect();
    if (!evaluates) continue;
    evaluate();
    save();
  }
  finish();
}

void Training::save() {
  if (!settings_.has("--checkpoint")) return;
  Blobs blobs = to_blobs(settings_, {.last = last_, .metrics = outputs_.metrics.synchronize()});
  blobs.merge(task_.save());
  optimizer_->save(settings_.get<std::string>("--checkpoint"), blobs);
}

void Training::finish() {
  last_.is_final = true;
  outputs_.metrics.write(last_);
  outputs_.progress.finish(last_, task_.summary(last_.evaluation));
  if (last_.failures_in_a_row > 0) {
    outputs_.warn(
        fmt::format("the run ended in {} failed steps, the last as {}: the parameters are those of "
                    "step {}",
                    last_.failures_in_a_row, last_.outcome, last_.step - last_.failures_in_a_row));
  }
}

BatchPosition Training::take_step(std::int64_t step) {
  const BatchPosition batch = task_.next(queue_.numbers());
  try {
    optimizer_->step(task_);
  } catch (const StepFailed&) {
    // The lines of the steps in the queue come first, and `collect` throws at the tenth failure
    // where it is one of them.
    collect();
    throw;
  }
  queue_.push(step, batch);
  return batch;
}

/// Writes the lines of the steps in the queue. On a device this comes some steps later than what it
/// may find, a loss that is not finite or a tenth failure: the lines end and the error names the
/// step as if it had been seen at once.
void Training::collect() {
  const std::vector<StepQueue::Step> steps = queue_.take();
  for (const StepQueue::Step& step : steps) {
    Record record = {.step = step.step, .epoch = step.batch.epoch};
    record.batch = task_.figures(step.numbers, step.batch);
    require_finite(record.batch, record);
    optimizer_->report(record);
    stamp(record);
    outputs_.metrics.write(record);
    last_ = record;
  }
  if (!steps.empty()) outputs_.progress.step(last_);
}

void Training::evaluate() {
  Record record = {.step = last_.step, .epoch = last_.epoch};
  record.evaluation = outputs_.stopwatch.apart([&] { return task_.evaluate(); });
  require_finite(record.evaluation, record);
  stamp(record);
  outputs_.metrics.write(record);
  outputs_.progress.evaluation(record, task_.in_words(record.evaluation));
  last_.evaluation = record.evaluation;
  last_.seconds = record.seconds;
  last_.evaluation_seconds = record.evaluation_seconds;
}

bool Training::evaluation_is_due(const BatchPosition& batch, std::int64_t step) const {
  if (!settings_.has("--evaluate-every")) return batch.ends_epoch;
  return step % settings_.get<std::int64_t>("--evaluate-every") == 0;
}

/// Writes the record and ends the run where one of the figures is not finite.
void Training::require_finite(const Figures& figures, Record record) {
  const auto bad = std::ranges::find_if(
      figures, [](const Figure& figure) { return !std::isfinite(figure.value); });
  if (bad == figures.end()) return;
  stamp(record);
  outputs_.metrics.write(record);
  throw Diverged(
      fmt::format("diverged: the {} is not finite at step {}", in_words(bad->name), record.step));
}

void Training::stamp(Record& record) const {
  record.seconds = outputs_.stopwatch.seconds();
  record.evaluation_seconds = outputs_.stopwatch.evaluation_seconds();
}

}  // namespace

void train(const Settings& settings, Task& task, const Outputs& outputs, const SavedRun* saved) {
  Training(settings, task, outputs, saved).run();
}

}  // namespace natgrad::trainer
