#include "trainer/options.hpp"

#include "core/message.hpp"
#include "natgrad/error.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <string_view>

namespace natgrad::trainer {

namespace {

/// What a task is trained with unless the command line says otherwise.
struct TaskDefaults {
  std::vector<std::int64_t> hidden;
  std::int64_t batch;
  std::int64_t epochs;
  double weight_decay;
};

const TaskDefaults& defaults(Task task) {
  // Few images: without decay the test loss doubles after the fifth epoch.
  static const TaskDefaults digits = {
      .hidden = {128}, .batch = 479, .epochs = 30, .weight_decay = 0.1};
  static const TaskDefaults mnist = {
      .hidden = {512, 512}, .batch = 4000, .epochs = 5, .weight_decay = 0};
  return task == Task::digits ? digits : mnist;
}

constexpr double natural_rate = 0.4;
constexpr double natural_damping = 0.03;
constexpr double natural_spring = 0.9;
constexpr double sgd_rate = 0.1;
constexpr double sgd_momentum = 0.9;
constexpr double adam_rate = 3e-3;

void require(bool holds, std::string_view message) {
  if (!holds) throw OptionError(std::string(message));
}

Task resolve_task(const CommandLine& line) {
  require(!line.task.empty(), "no TASK given: digits, or mnist DIR (see --help)");
  if (line.task == "digits") {
    require(line.directory.empty(), "digits takes no directory, they are built in");
    return Task::digits;
  }
  require(line.task == "mnist", "TASK " + line.task + ": expected digits, or mnist DIR");
  require(!line.directory.empty(), "mnist needs the directory of its files: mnist DIR");
  require(!line.split, "--split: mnist has a test set of its own");
  return Task::mnist;
}

void require_natural_only(const CommandLine& line, std::string_view optimizer) {
  const auto refuse = [&](bool given, std::string_view option) {
    require(!given, detail::message(option, ": has no meaning with --optimizer ", optimizer));
  };
  refuse(line.form.has_value(), "--form");
  refuse(line.damping.has_value(), "--damping");
  refuse(line.spring.has_value(), "--spring");
  refuse(line.momentum && line.optimizer == OptimizerName::adam, "--momentum");
}

Momentum natural_momentum(const CommandLine& line) {
  require(!line.momentum || !line.spring, "--momentum and --spring exclude each other");
  const double decay = line.momentum.value_or(line.spring.value_or(natural_spring));
  if (decay == 0) return NoMomentum{};
  if (line.momentum) return HeavyBall{decay};
  return Spring{decay};
}

Method resolve_method(const CommandLine& line, double weight_decay) {
  switch (line.optimizer) {
    case OptimizerName::natural:
      break;
    case OptimizerName::sgd:
      require_natural_only(line, "sgd");
      return FirstOrder::Options{.rule = Sgd{line.momentum.value_or(sgd_momentum)},
                                 .rate = line.rate.value_or(sgd_rate),
                                 .weight_decay = weight_decay};
    case OptimizerName::adam:
      require_natural_only(line, "adam");
      return FirstOrder::Options{
          .rule = Adam{}, .rate = line.rate.value_or(adam_rate), .weight_decay = weight_decay};
  }
  return NaturalGradient::Options{
      .damping = line.damping.value_or(Damping{.absolute = natural_damping}),
      .step = FixedRate{line.rate.value_or(natural_rate)},
      .momentum = natural_momentum(line),
      .weight_decay = weight_decay,
      .form = line.form.value_or(Form::automatic)};
}

void require_files_of_their_own(const CommandLine& line) {
  const std::string& metrics = line.metrics_file;
  require(metrics.empty() || (metrics != line.checkpoint_file && metrics != line.resume_file),
          "--metrics " + metrics + ": is the file of the checkpoint");
}

/// The default decay must not forbid a rate that was asked for.
double resolve_weight_decay(const CommandLine& line, double otherwise) {
  const double decay = line.weight_decay.value_or(otherwise);
  const double rate = line.rate.value_or(0);
  require(!(rate * decay > 1), fmt::format("--rate {} times {}--weight-decay {} is more than 1",
                                           rate, line.weight_decay ? "" : "the default ", decay));
  return decay;
}

}  // namespace

Options resolve(const CommandLine& line) {
  Options options;
  options.task = resolve_task(line);
  options.directory = line.directory;
  options.split = line.split.value_or(0);

  const TaskDefaults& task = defaults(options.task);
  options.method = resolve_method(line, resolve_weight_decay(line, task.weight_decay));
  options.hidden = line.hidden.value_or(task.hidden);
  require(!options.hidden.empty() || !line.activation,
          "--activation: has no meaning with --hidden none");
  options.activation = line.activation.value_or(Activation::tanh);
  options.batch = line.batch.value_or(task.batch);
  options.steps = line.steps;
  options.epochs = line.epochs;
  if (!line.steps && !line.epochs) options.epochs = task.epochs;
  options.seed = line.seed.value_or(0);

  options.device = line.device;
  options.precision = line.precision;
  options.threads = line.threads;
  options.evaluate_every = line.evaluate_every;
  require_files_of_their_own(line);
  options.metrics_file = line.metrics_file;
  options.checkpoint_file = line.checkpoint_file;
  options.resume_file = line.resume_file;
  options.quiet = line.quiet;
  return options;
}

std::string help_footer() {
  std::string text = "Defaults:\n";
  for (const Task task : {Task::digits, Task::mnist}) {
    const TaskDefaults& d = defaults(task);
    text += fmt::format("  {:<8} --hidden {} --batch {} --epochs {} --weight-decay {}\n",
                        task == Task::digits ? "digits" : "mnist", fmt::join(d.hidden, ","),
                        d.batch, d.epochs, d.weight_decay);
  }
  text += fmt::format("  natural  --spring {} --rate {} --damping {}\n", natural_spring,
                      natural_rate, natural_damping);
  text += fmt::format("  sgd      --momentum {} --rate {}\n", sgd_momentum, sgd_rate);
  text += fmt::format("  adam     --rate {}\n", adam_rate);
  return text + R"(
An epoch is cut into the fewest batches that are no larger than --batch and differ by at most one
sample. --steps without --epochs takes as many epochs as it needs.
--metrics writes one JSON object a line, for every step (loss and accuracy are the batch's, before the
step) and for every evaluation (over the whole test set). seconds counts from the start of the program
without the time spent in evaluations; evaluation_seconds counts that.
--checkpoint replaces FILE at every evaluation and at the end: a run that is killed leaves the last one.
--resume goes on bitwise as if the run had not stopped, on the same machine with as many threads. Its
FILE must be there, and the options must be those of that run, but for --epochs, --steps,
--evaluate-every, --device, --threads and files. More epochs or steps train on; a run that is at its
end prints its final figures. --metrics is cut back to what it held at the checkpoint and goes on
there; a file that is missing or empty begins there, and a shorter one is an error. --resume alone
writes no checkpoint: give --checkpoint, too, usually the same FILE.
Exit codes: 0; 2 for an error in options or files; 3 for a run that diverged.)";
}

}  // namespace natgrad::trainer
