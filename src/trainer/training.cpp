#include "trainer/training.hpp"

#include "trainer/batches.hpp"
#include "trainer/optimizers.hpp"
#include "trainer/step_queue.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>

namespace natgrad::trainer {

namespace {

class Training {
 public:
  Training(const Options& options, const io::Dataset& data, const Context& context, Outputs outputs,
           const SavedRun* saved);
  void run();

 private:
  void resume(const SavedRun& saved);
  void save();
  void finish();
  std::int64_t total_steps() const;
  std::string headline(std::string_view name) const;
  void take_step(const Batch& batch, std::int64_t step);
  void collect();
  Record evaluate(const Record& after);
  FullyConnected::Evaluation evaluate_test_set();
  bool evaluation_is_due(const Batch& batch, std::int64_t step) const;
  void require_finite(double loss, std::string_view name, const Record& record);
  void stamp(Record& record) const;

  const Options& options_;
  Outputs outputs_;
  StagedExamples train_;
  StagedExamples test_;
  Batches batches_;
  FullyConnected net_;
  std::unique_ptr<Optimizer> optimizer_;
  StepQueue queue_;
  Record last_;  // of the last step, with the figures of the last evaluation
};

Training::Training(const Options& options, const io::Dataset& data, const Context& context,
                   Outputs outputs, const SavedRun* saved)
    : options_(options),
      outputs_(outputs),
      train_(context, data.train, data.inputs, options.precision),
      test_(context, data.test, data.inputs, options.precision),
      batches_(context, train_, options.batch, options.seed),
      net_(context, net_options(options, data)),
      optimizer_(make_optimizer(options.method, net_.parameters(), total_steps())),
      queue_(context) {
  stamp(last_);
  if (saved != nullptr) resume(*saved);
  outputs_.metrics.begin();
  outputs_.progress.begin(headline(data.name), total_steps(), last_);
}

void Training::resume(const SavedRun& saved) {
  const RunState& state = saved.state();
  saved.require_fits(train_.count(), test_.count(), total_steps());
  optimizer_->restore(saved.file());
  batches_.skip_to(state.batches);
  net_.set_draw_counter(state.draws);
  last_ = state.last;
  outputs_.stopwatch.add(last_.seconds, last_.evaluation_seconds);
}

void Training::run() {
  const std::int64_t total = total_steps();
  for (std::int64_t step = last_.step + 1; step <= total; ++step) {
    const Batch batch = batches_.next();
    take_step(batch, step);
    const bool evaluates = step == total || evaluation_is_due(batch, step);
    if (evaluates || queue_.is_due()) collect();
    if (!evaluates) continue;
    const Record evaluation = evaluate(last_);
    last_.test_loss = evaluation.test_loss;
    last_.test_accuracy = evaluation.test_accuracy;
    last_.seconds = evaluation.seconds;
    last_.evaluation_seconds = evaluation.evaluation_seconds;
    save();
  }
  finish();
}

void Training::save() {
  if (options_.checkpoint_file.empty()) return;
  const RunState state = {.last = last_,
                          .batches = batches_.taken(),
                          .draws = net_.draw_counter(),
                          .train_samples = train_.count(),
                          .test_samples = test_.count(),
                          .metrics = outputs_.metrics.synchronize()};
  optimizer_->save(options_.checkpoint_file, to_blobs(options_, state));
}

void Training::finish() {
  last_.is_final = true;
  outputs_.metrics.write(last_);
  outputs_.progress.finish(last_);
  if (last_.outcome.value_or(Outcome::accepted) != Outcome::accepted) {
    throw Diverged(fmt::format("the run ended in failed steps: step {} was {}", last_.step,
                               to_string(*last_.outcome)));
  }
}

void Training::take_step(const Batch& batch, std::int64_t step) {
  net_.forward(batch.images);
  net_.evaluate_to(batch.labels, queue_.sums());
  net_.backward(batch.labels);
  try {
    optimizer_->step(net_, batch.samples());
  } catch (const StepFailed&) {
    // Of steps in the queue: their lines come first, and `collect` throws at the right one.
    collect();
    throw;
  }
  queue_.push({.step = step, .epoch = batch.epoch}, batch.samples());
}

/// Writes the lines of the steps in the queue. On a device this comes some steps later than what it
/// may find, a loss that is not finite or a tenth failure: the lines end and the error names the
/// step as if it had been seen at once.
void Training::collect() {
  for (Record& record : queue_.take()) {
    require_finite(record.loss.value_or(0), "loss", record);
    optimizer_->report(record);
    stamp(record);
    outputs_.metrics.write(record);
    last_ = record;
  }
  outputs_.progress.step(last_);
}

Record Training::evaluate(const Record& after) {
  const auto result = outputs_.stopwatch.apart([&] { return evaluate_test_set(); });
  Record record = {.step = after.step, .epoch = after.epoch};
  record.test_loss = result.loss;
  record.test_accuracy = result.accuracy;
  require_finite(result.loss, "test loss", record);
  stamp(record);
  outputs_.metrics.write(record);
  outputs_.progress.evaluation(record);
  return record;
}

FullyConnected::Evaluation Training::evaluate_test_set() {
  const std::int64_t count = test_.count();
  FullyConnected::Evaluation mean;
  for (std::int64_t first = 0; first < count; first += evaluation_part) {
    const std::int64_t samples = std::min(evaluation_part, count - first);
    net_.forward(test_.images.view().row_range(first, samples));
    const auto result = net_.evaluate(test_.labels.view().row_range(first, samples));
    const double share = static_cast<double>(samples) / static_cast<double>(count);
    mean.loss += share * result.loss;
    mean.accuracy += share * result.accuracy;
  }
  return mean;
}

bool Training::evaluation_is_due(const Batch& batch, std::int64_t step) const {
  return options_.evaluate_every ? step % *options_.evaluate_every == 0 : batch.ends_epoch;
}

void Training::require_finite(double loss, std::string_view name, const Record& record) {
  if (std::isfinite(loss)) return;
  Record stamped = record;
  stamp(stamped);
  outputs_.metrics.write(stamped);
  throw Diverged(fmt::format("diverged: the {} is not finite at step {}", name, record.step));
}

void Training::stamp(Record& record) const {
  record.seconds = outputs_.stopwatch.seconds();
  record.evaluation_seconds = outputs_.stopwatch.evaluation_seconds();
}

std::int64_t Training::total_steps() const {
  constexpr std::int64_t no_limit = std::numeric_limits<std::int64_t>::max();
  return std::min(options_.steps.value_or(no_limit),
                  options_.epochs ? *options_.epochs * batches_.per_epoch() : no_limit);
}

std::string Training::headline(std::string_view name) const {
  const FullyConnected::Options& net = net_.options();
  const std::string activation =
      options_.hidden.empty() ? "" : fmt::format(" {}", to_string(net.activation));
  return fmt::format("{}: {} images to train on, {} to test; net {}{}, {} parameters, {} on {}",
                     name, train_.count(), test_.count(), fmt::join(net.sizes, "-"), activation,
                     net_.parameters().size(), to_string(net.type),
                     to_string(net_.parameters().context().device().kind)) +
         (last_.step > 0 ? fmt::format("; resumed at step {}", last_.step) : "");
}

}  // namespace

FullyConnected::Options net_options(const Options& options, const io::Dataset& data) {
  std::vector<std::int64_t> sizes = options.hidden;
  sizes.insert(sizes.begin(), data.inputs);
  sizes.push_back(data.classes);
  return {.sizes = sizes,
          .activation = options.activation,
          .type = options.precision,
          .seed = options.seed,
          .allow_tf32 = options.allow_tf32};
}

void train(const Options& options, const io::Dataset& data, const Context& context, Outputs outputs,
           const SavedRun* saved) {
  Training(options, data, context, outputs, saved).run();
}

}  // namespace natgrad::trainer
