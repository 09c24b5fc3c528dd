#include "trainer/options.hpp"

#include "natgrad/error.hpp"
#include "natgrad/natural_gradient.hpp"
#include "natgrad/types.hpp"
#include "trainer/option_types.hpp"

#include <fmt/format.h>

#include <filesystem>
#include <optional>
#include <string_view>
#include <system_error>

namespace natgrad::trainer {

namespace {

void require(bool holds, const std::string& text) {
  if (!holds) throw OptionError(text);
}

bool is_natural(const Settings& s) {
  return s.get<OptimizerName>("--optimizer") == OptimizerName::natural;
}

bool is_sampled(const Settings& s) {
  return is_natural(s) && s.get<FisherKind>("--fisher") == FisherKind::sampled;
}

// What an option goes with: each function says beside what it does not.

std::string natural_only(const Settings& s) {
  return is_natural(s) ? "" : "with --optimizer " + s.in_words("--optimizer");
}

std::string sampled_only(const Settings& s) {
  if (!is_natural(s)) return natural_only(s);
  return is_sampled(s) ? "" : "without --fisher sampled";
}

std::string kl_only(const Settings& s) {
  if (!is_natural(s)) return natural_only(s);
  return s.get<StepRuleName>("--step-rule") == StepRuleName::kl ? "" : "without --step-rule kl";
}

std::string not_primal(const Settings& s) {
  if (!is_natural(s)) return natural_only(s);
  return s.get<Form>("--form") == Form::primal ? "with --form primal" : "";
}

std::string not_adam(const Settings& s) {
  return s.get<OptimizerName>("--optimizer") == OptimizerName::adam ? "with --optimizer adam" : "";
}

std::string spring_only(const Settings& s) {
  if (!is_natural(s)) return natural_only(s);
  return s.given("--momentum") ? "with --momentum: the two exclude each other" : "";
}

std::string hidden_layers_only(const Settings& s) {
  return s.get<std::vector<std::int64_t>>("--hidden").empty() ? "with --hidden none" : "";
}

std::string float_only(const Settings& s) {
  return s.get<ElementType>("--precision") == ElementType::float32 ? "" : "with --precision double";
}

std::string natural_and_not_quiet(const Settings& s) {
  return s.is_on("--quiet") ? "with --quiet" : natural_only(s);
}

// What must hold between values.

void require_fisher_of_kl(const Settings& s) {
  require(s.get<StepRuleName>("--step-rule") != StepRuleName::kl || is_sampled(s),
          "--step-rule kl: the empirical matrix predicts no KL divergence, needs --fisher sampled");
}

void require_constant_rate(const Settings& s) {
  require(is_natural(s) || s.get<Rate>("--rate").decay == RateDecay::none,
          "--rate with :linear or :cosine: has no meaning " + natural_only(s));
}

void require_small_decay(const Settings& s) {
  const auto named = [&](const char* name) {
    return fmt::format("{}{} {}", s.given(name) ? "" : "the default ", name, s.in_words(name));
  };
  require(!(s.get<Rate>("--rate").first * s.get<double>("--weight-decay") > 1),
          fmt::format("{} times {} is more than 1", named("--rate"), named("--weight-decay")));
}

/// Whether two names lead to one file, by links and detours too.
bool same_file(const std::string& a, const std::string& b) {
  std::error_code ignored;
  if (std::filesystem::equivalent(a, b, ignored)) return true;
  const auto place = [](const std::string& name) {
    return std::filesystem::weakly_canonical(std::filesystem::absolute(name));
  };
  return place(a) == place(b);
}

void require_another_file(const Settings& s) {
  const auto metrics = s.get<std::string>("--metrics");
  for (const char* other : {"--checkpoint", "--resume"}) {
    require(!s.has(other) || !same_file(metrics, s.get<std::string>(other)),
            "--metrics " + metrics + ": is the file of the checkpoint");
  }
}

std::vector<OptionRow> optimizer_rows() {
  const std::string group = "Optimizer";
  return {
      {.name = "--optimizer",
       .group = group,
       .type = choice<OptimizerName>({{"natural", OptimizerName::natural},
                                      {"sgd", OptimizerName::sgd},
                                      {"adam", OptimizerName::adam}}),
       .help = "method",
       .otherwise = "natural"},
      {.name = "--fisher",
       .group = group,
       .type = choice<FisherKind>(
           {{"empirical", FisherKind::empirical}, {"sampled", FisherKind::sampled}}),
       .help = "labels of the Fisher's rows: the data's, or drawn from the model",
       .otherwise = "empirical",
       .no_meaning = natural_only},
      {.name = "--fisher-draws",
       .group = group,
       .type = number(counting, "N"),
       .help = "labels drawn a sample",
       .otherwise = "1",
       .no_meaning = sampled_only},
      {.name = "--form",
       .group = group,
       .type = choice<Form>(
           {{"auto", Form::automatic}, {"primal", Form::primal}, {"dual", Form::dual}}),
       .help = "system that a natural step factorizes",
       .otherwise = "auto",
       .no_meaning = natural_only},
      {.name = "--step-rule",
       .group = group,
       .type = choice<StepRuleName>({{"fixed", StepRuleName::fixed}, {"kl", StepRuleName::kl}}),
       .help = "length of a natural step: the rate, or a predicted KL divergence",
       .otherwise = "fixed",
       .no_meaning = natural_only,
       .require = require_fisher_of_kl},
      {.name = "--rate",
       .group = group,
       .type = rate_and_decay(),
       .help = "step length, falling to 0 over the run's steps if so; with --step-rule kl the "
               "largest",
       .require = require_constant_rate},
      {.name = "--kl-radius",
       .group = group,
       .type = number(positive, "X"),
       .help = "KL divergence of a step, nats a sample",
       .otherwise = "0.01",
       .no_meaning = kl_only},
      {.name = "--max-norm",
       .group = group,
       .type = number(positive, "X"),
       .help = "largest norm of a natural step",
       .no_meaning = natural_only},
      {.name = "--damping",
       .group = group,
       .type = damping_number(),
       .help = "added to the eigenvalues of the Fisher matrix; relative: in units of their mean",
       .no_meaning = natural_only},
      {.name = "--refinement",
       .group = group,
       .type = number(repeats, "N"),
       .help = "corrections of a natural step's solve, from the rows in double",
       .otherwise = "0",
       .no_meaning = not_primal},
      {.name = "--momentum",
       .group = group,
       .type = momentum_decay(),
       .help = "heavy ball (natural) or classical (sgd)",
       .unless = "--spring",
       .no_meaning = not_adam},
      {.name = "--spring",
       .group = group,
       .type = momentum_decay(),
       .help = "SPRING momentum, in place of --momentum",
       .unless = "--momentum",
       .no_meaning = spring_only},
      {.name = "--weight-decay",
       .group = group,
       .type = number(not_negative, "X"),
       .help = "weights shrink by rate times X a step",
       .otherwise = "0",
       .require = require_small_decay},
  };
}

std::vector<OptionRow> model_rows() {
  const std::string group = "Model";
  return {
      {.name = "--hidden",
       .group = group,
       .type = width_list(),
       .help = "widths of the hidden layers, as 512,512",
       .of_tasks = true},
      {.name = "--activation",
       .group = group,
       .type = choice<Activation>({{"tanh", Activation::tanh},
                                   {"relu", Activation::relu},
                                   {"sigmoid", Activation::sigmoid},
                                   {"gelu", Activation::gelu}}),
       .help = "of the hidden layers",
       .otherwise = "tanh",
       .no_meaning = hidden_layers_only,
       .of_tasks = true},
  };
}

std::vector<OptionRow> run_rows() {
  const std::string group = "Run";
  return {
      {.name = "--batch",
       .group = group,
       .type = number(counting, "N"),
       .help = "samples a step, at most",
       .of_tasks = true},
      {.name = "--epochs",
       .group = group,
       .type = number(counting, "N"),
       .help = "passes over the data",
       .unless = "--steps",
       .of_tasks = true,
       .saved = false},
      {.name = "--steps",
       .group = group,
       .type = number(counting, "N"),
       .help = "steps; with --epochs, whichever is smaller ends the run",
       .saved = false},
      {.name = "--seed",
       .group = group,
       .type = number(key, "N"),
       .help = "key of initial weights, shuffles and drawn labels",
       .otherwise = "0"},
      {.name = "--device",
       .group = group,
       .type = choice<std::optional<DeviceKind>>(
           {{"auto", std::nullopt}, {"cpu", DeviceKind::cpu}, {"cuda", DeviceKind::cuda}}),
       .help = "where to train",
       .otherwise = "auto",
       .saved = false},
      {.name = "--precision",
       .group = group,
       .type =
           choice<ElementType>({{"float", ElementType::float32}, {"double", ElementType::float64}}),
       .help = "of weights and data",
       .otherwise = "float"},
      {.name = "--allow-tf32",
       .group = group,
       .type = flag(),
       .help = "products of float may take a GPU's TF32, of eleven bits; the primal form's solve "
               "stays in double",
       .no_meaning = float_only},
      {.name = "--threads",
       .group = group,
       .type = number(thread_count, "N"),
       .help = "CPU threads (default: as many as OpenMP takes)",
       .saved = false},
  };
}

std::vector<OptionRow> output_rows() {
  const std::string group = "Output";
  return {
      {.name = "--evaluate-every",
       .group = group,
       .type = number(counting, "STEPS"),
       .help = "steps between evaluations (default: at the end of every epoch)",
       .saved = false},
      {.name = "--checkpoint",
       .group = group,
       .type = file_name(),
       .help = "save the run at every evaluation and at the end",
       .saved = false},
      {.name = "--resume",
       .group = group,
       .type = file_name(),
       .help = "go on where a saved run stands",
       .saved = false},
      {.name = "--metrics",
       .group = group,
       .type = file_name(),
       .help = "write figures as JSON lines",
       .require = require_another_file,
       .saved = false},
      {.name = "--quiet",
       .group = group,
       .type = flag(),
       .help = "print errors only",
       .saved = false},
      {.name = "--plan",
       .group = group,
       .type = flag(),
       .help = "print the memory that the run takes, and do not train",
       .no_meaning = natural_and_not_quiet,
       .saved = false},
  };
}

}  // namespace

const std::vector<OptionRow>& option_table() {
  static const std::vector<OptionRow> table = [] {
    std::vector<OptionRow> rows;
    for (const auto& part : {optimizer_rows(), run_rows(), model_rows(), output_rows()}) {
      rows.insert(rows.end(), part.begin(), part.end());
    }
    return rows;
  }();
  return table;
}

const std::vector<OptimizerDefaults>& optimizer_defaults() {
  static const std::vector<OptimizerDefaults> table = {
      {"natural",
       "--fisher empirical",
       [](const Settings& s) { return is_natural(s) && !is_sampled(s); },
       {{"--spring", "0.9"}, {"--rate", "0.4"}, {"--damping", "0.03"}}},
      {"natural",
       "--fisher sampled",
       is_sampled,
       {{"--momentum", "0.9"}, {"--rate", "0.3:linear"}, {"--damping", "0.03"}}},
      {"sgd",
       "",
       [](const Settings& s) { return s.get<OptimizerName>("--optimizer") == OptimizerName::sgd; },
       {{"--momentum", "0.9"}, {"--rate", "0.1"}}},
      {"adam",
       "",
       [](const Settings& s) { return s.get<OptimizerName>("--optimizer") == OptimizerName::adam; },
       {{"--rate", "0.003"}}}};
  return table;
}

}  // namespace natgrad::trainer
