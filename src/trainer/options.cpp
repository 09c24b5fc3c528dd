#include "trainer/options.hpp"

#include "core/message.hpp"
#include "natgrad/error.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <filesystem>
#include <string_view>
#include <system_error>

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

/// What the natural gradient takes with each kind of Fisher matrix.
struct FisherDefaults {
  Momentum momentum;
  Rate rate;
  double damping;
};

const FisherDefaults& defaults(FisherKind fisher) {
  static const FisherDefaults empirical = {
      .momentum = Spring{0.9}, .rate = {0.4, RateDecay::none}, .damping = 0.03};
  static const FisherDefaults sampled = {
      .momentum = HeavyBall{0.9}, .rate = {0.3, RateDecay::linear}, .damping = 0.03};
  return fisher == FisherKind::sampled ? sampled : empirical;
}

constexpr double kl_radius = 1e-2;
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
  refuse(line.fisher.has_value(), "--fisher");
  refuse(line.fisher_draws.has_value(), "--fisher-draws");
  refuse(line.form.has_value(), "--form");
  refuse(line.step_rule.has_value(), "--step-rule");
  refuse(line.kl_radius.has_value(), "--kl-radius");
  refuse(line.max_norm.has_value(), "--max-norm");
  refuse(line.refinement.has_value(), "--refinement");
  refuse(line.plan, "--plan");
  refuse(line.rate && line.rate->decay != RateDecay::none, "--rate with :linear or :cosine");
  refuse(line.damping.has_value(), "--damping");
  refuse(line.spring.has_value(), "--spring");
  refuse(line.momentum && line.optimizer == OptimizerName::adam, "--momentum");
}

Momentum natural_momentum(const CommandLine& line, const Momentum& otherwise) {
  require(!line.momentum || !line.spring, "--momentum and --spring exclude each other");
  if (!line.momentum && !line.spring) return otherwise;
  if (line.momentum.value_or(0) > 0) return HeavyBall{*line.momentum};
  if (line.spring.value_or(0) > 0) return Spring{*line.spring};
  return NoMomentum{};
}

StepRule natural_rule(const CommandLine& line, FisherKind fisher, double rate) {
  if (line.step_rule.value_or(StepRuleName::fixed) == StepRuleName::fixed) {
    require(!line.kl_radius, "--kl-radius: has no meaning without --step-rule kl");
    return FixedRate{rate};
  }
  require(fisher != FisherKind::empirical,
          "--step-rule kl: the empirical matrix predicts no KL divergence, needs --fisher sampled");
  return KlTrustRegion{.radius = line.kl_radius.value_or(kl_radius), .max_rate = rate};
}

NaturalMethod resolve_natural(const CommandLine& line, double weight_decay) {
  const FisherKind fisher = line.fisher.value_or(FisherKind::empirical);
  require(!line.fisher_draws || fisher == FisherKind::sampled,
          "--fisher-draws: has no meaning without --fisher sampled");
  require(!line.refinement || line.form != Form::primal,
          "--refinement: has no meaning with --form primal");
  const FisherDefaults& otherwise = defaults(fisher);
  const Rate rate = line.rate.value_or(otherwise.rate);
  NaturalGradient::Options options = {
      .damping = line.damping.value_or(Damping{.absolute = otherwise.damping}),
      .step = natural_rule(line, fisher, rate.first),
      .schedule = {.decay = rate.decay, .steps = 1},  // of what a run has, once it is known
      .momentum = natural_momentum(line, otherwise.momentum),
      .weight_decay = weight_decay,
      .form = line.form.value_or(Form::automatic),
      .refinement = static_cast<int>(line.refinement.value_or(0)),
      .allow_tf32 = line.allow_tf32};
  if (line.max_norm) options.max_norm = *line.max_norm;
  return {.optimizer = options, .fisher = fisher, .draws = line.fisher_draws.value_or(1)};
}

Method resolve_method(const CommandLine& line, double weight_decay) {
  switch (line.optimizer) {
    case OptimizerName::natural:
      break;
    case OptimizerName::sgd:
      require_natural_only(line, "sgd");
      return FirstOrder::Options{.rule = Sgd{line.momentum.value_or(sgd_momentum)},
                                 .rate = line.rate.value_or(Rate{sgd_rate}).first,
                                 .weight_decay = weight_decay};
    case OptimizerName::adam:
      require_natural_only(line, "adam");
      return FirstOrder::Options{.rule = Adam{},
                                 .rate = line.rate.value_or(Rate{adam_rate}).first,
                                 .weight_decay = weight_decay};
  }
  return resolve_natural(line, weight_decay);
}

/// Whether two names lead to one file, by links and detours too.
bool same_file(const std::string& a, const std::string& b) {
  if (a.empty() || b.empty()) return false;
  std::error_code ignored;
  if (std::filesystem::equivalent(a, b, ignored)) return true;
  const auto place = [](const std::string& name) {
    return std::filesystem::weakly_canonical(std::filesystem::absolute(name));
  };
  return place(a) == place(b);
}

void require_files_of_their_own(const CommandLine& line) {
  const std::string& metrics = line.metrics_file;
  require(!same_file(metrics, line.checkpoint_file) && !same_file(metrics, line.resume_file),
          "--metrics " + metrics + ": is the file of the checkpoint");
}

/// The default decay must not forbid a rate that was asked for.
double resolve_weight_decay(const CommandLine& line, double otherwise) {
  const double decay = line.weight_decay.value_or(otherwise);
  const double rate = line.rate.value_or(Rate{}).first;
  require(!(rate * decay > 1), fmt::format("--rate {} times {}--weight-decay {} is more than 1",
                                           rate, line.weight_decay ? "" : "the default ", decay));
  return decay;
}

}  // namespace

std::string in_words(const Rate& rate) {
  if (rate.decay == RateDecay::none) return fmt::format("{}", rate.first);
  return fmt::format("{}:{}", rate.first, rate.decay == RateDecay::linear ? "linear" : "cosine");
}

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
  require(!line.allow_tf32 || line.precision == ElementType::float32,
          "--allow-tf32: has no meaning with --precision double");
  options.allow_tf32 = line.allow_tf32;
  options.threads = line.threads;
  options.evaluate_every = line.evaluate_every;
  require_files_of_their_own(line);
  options.metrics_file = line.metrics_file;
  options.checkpoint_file = line.checkpoint_file;
  options.resume_file = line.resume_file;
  options.quiet = line.quiet;
  require(!line.plan || !line.quiet, "--plan: has no meaning with --quiet");
  options.plan = line.plan;
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
  for (const FisherKind fisher : {FisherKind::empirical, FisherKind::sampled}) {
    const FisherDefaults& d = defaults(fisher);
    const auto* spring = std::get_if<Spring>(&d.momentum);
    const double decay = spring ? spring->decay : std::get<HeavyBall>(d.momentum).decay;
    text +=
        fmt::format("  natural  --fisher {}: --{} {} --rate {} --damping {}\n", to_string(fisher),
                    spring ? "spring" : "momentum", decay, in_words(d.rate), d.damping);
  }
  text += fmt::format("           --step-rule kl: --kl-radius {}\n", kl_radius);
  text += fmt::format("  sgd      --momentum {} --rate {}\n", sgd_momentum, sgd_rate);
  text += fmt::format("  adam     --rate {}\n", adam_rate);
  return text + R"(
--fisher sampled makes the Fisher matrix of labels drawn from the model, a fresh --fisher-draws for
every sample and step, and takes the gradient from the data. --step-rule kl shortens a step whose
predicted KL divergence (predicted_kl, of sampled rows only) would be more than --kl-radius. A rate
that falls is 0 behind the last step of --epochs or --steps; a run that is resumed with more of them
falls over these.
--plan prints the memory that the optimizer, the net and the data take, and ends. It goes with the
natural optimizer and without --quiet.
An epoch is cut into the fewest batches that are no larger than --batch and differ by at most one
sample. --steps without --epochs takes as many epochs as it needs.
--metrics writes one JSON object a line, for every step (loss and accuracy are the batch's, before the
step) and for every evaluation (over the whole test set). seconds counts from the start of the program
without the time spent in evaluations; evaluation_seconds counts that. On a GPU nothing waits for a
step: the figures of some are fetched together, and share their seconds.
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
