#include "natgrad/natural_gradient.hpp"
#include "natgrad/types.hpp"
#include "trainer/option_types.hpp"
#include "trainer/options.hpp"
#include "trainer/tasks/task.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <variant>

// The options of the optimizers, and their defaults.

namespace natgrad::trainer {

namespace {

bool is_natural(const Settings& s) {
  return s.get<OptimizerName>("--optimizer") == OptimizerName::natural;
}

bool has_fisher(const Settings& s, FisherKind kind) {
  return is_natural(s) && s.get<FisherKind>("--fisher") == kind;
}
bool is_empirical(const Settings& s) { return has_fisher(s, FisherKind::empirical); }
bool is_sampled(const Settings& s) { return has_fisher(s, FisherKind::sampled); }
bool is_residual(const Settings& s) { return has_fisher(s, FisherKind::residual); }
bool is_exact(const Settings& s) { return has_fisher(s, FisherKind::exact); }

bool is_diagonal(const Settings& s) {
  return is_natural(s) && s.get<Structure>("--structure") == Structure::diagonal;
}

/// Every row of a table of the library's.
template <class Enum, std::size_t rows>
Choices<Enum> choices_of(const EnumeratorName<Enum> (&table)[rows]) {
  Choices<Enum> choices;
  for (const EnumeratorName<Enum>& row : table) choices.emplace_back(row.name, row.value);
  return choices;
}

// What an option goes with: each function says beside what it does not.

std::string natural_only(const Settings& s) {
  return is_natural(s) ? "" : "with --optimizer " + s.in_words("--optimizer");
}

std::string sampled_only(const Settings& s) {
  if (!is_natural(s)) return natural_only(s);
  return is_sampled(s) ? "" : "without --fisher sampled";
}

bool has_rule(const Settings& s, StepRuleName rule) {
  return is_natural(s) && s.get<StepRuleName>("--step-rule") == rule;
}
bool is_quadratic(const Settings& s) { return has_rule(s, StepRuleName::quadratic); }
bool is_backtracking(const Settings& s) { return has_rule(s, StepRuleName::backtracking); }
bool is_geodesic(const Settings& s) { return has_rule(s, StepRuleName::geodesic); }

/// Whether the task's rows are derivatives of residuals.
bool is_least_squares(const Settings& s) {
  return std::ranges::find(s.task().defaults, NamedValue("--fisher", "residual")) !=
         s.task().defaults.end();
}

std::string kl_only(const Settings& s) {
  if (!is_natural(s)) return natural_only(s);
  return has_rule(s, StepRuleName::kl) ? "" : "without --step-rule kl";
}

std::string searching_only(const Settings& s) {
  if (!is_natural(s)) return natural_only(s);
  if (has_rule(s, StepRuleName::kl) || is_backtracking(s) || is_geodesic(s)) return "";
  return "without --step-rule kl, backtracking or geodesic";
}

/// The quadratic model chooses its momentum, and a step along a parabola has none.
std::string not_quadratic(const Settings& s) {
  if (is_geodesic(s)) return "with --step-rule geodesic";
  return is_quadratic(s) ? "with --step-rule quadratic" : "";
}

std::string not_primal(const Settings& s) {
  if (!is_natural(s)) return natural_only(s);
  if (is_diagonal(s)) return "with --structure diagonal";
  return s.get<Form>("--form") == Form::primal ? "with --form primal" : "";
}

std::string takes_momentum(const Settings& s) {
  if (is_quadratic(s) || is_geodesic(s)) return not_quadratic(s);
  return s.get<OptimizerName>("--optimizer") == OptimizerName::adam ? "with --optimizer adam" : "";
}

std::string spring_only(const Settings& s) {
  if (!is_natural(s)) return natural_only(s);
  if (is_quadratic(s) || is_geodesic(s)) return not_quadratic(s);
  return s.given("--momentum") ? "with --momentum: the two exclude each other" : "";
}

/// Steps down an energy, which bear less damping and a smaller rate than those of a likelihood.
bool is_ising(const Settings& s) { return is_natural(s) && s.task().name == "ising"; }

// What must hold between values.

void require_fisher_of_task(const Settings& s) {
  const bool fits = is_residual(s) == is_least_squares(s);
  require(fits || !is_least_squares(s),
          fmt::format("--fisher {}: the rows of {} are derivatives of residuals",
                      s.in_words("--fisher"), s.task().name));
  require(fits, fmt::format("--fisher residual: {} has no residuals", s.task().name));
}

void require_fisher_of_kl(const Settings& s) {
  require(s.get<StepRuleName>("--step-rule") != StepRuleName::kl || !is_residual(s),
          "--step-rule kl: residuals are of no distribution");
  require(s.get<StepRuleName>("--step-rule") != StepRuleName::kl || !is_empirical(s),
          "--step-rule kl: the empirical matrix predicts no KL divergence, needs --fisher sampled "
          "or exact");
  require(s.get<StepRuleName>("--step-rule") != StepRuleName::kl ||
              s.get<Structure>("--structure") == Structure::full,
          "--step-rule kl: needs --structure full, because d^T F d of another is not that of F");
}

void require_fisher_of_rule(const Settings& s) {
  require_fisher_of_kl(s);
  require(!is_quadratic(s) || !is_empirical(s),
          "--step-rule quadratic: the empirical matrix is not that of the loss, needs --fisher "
          "sampled or exact");
  require(!is_geodesic(s) || is_residual(s),
          fmt::format("--step-rule geodesic: needs residuals, which {} has not", s.task().name));
}

void require_fisher_of_damping(const Settings& s) {
  const bool compares =
      std::holds_alternative<LevenbergMarquardt>(s.get<Damping>("--damping").rule);
  require(!compares || !is_empirical(s),
          "--damping lm: the empirical matrix does not foretell the loss, needs --fisher sampled "
          "or exact");
  require(!compares || !is_geodesic(s), "--damping lm: has no meaning with --step-rule geodesic");
}

void require_trials(const Settings& s) {
  require(
      !(is_backtracking(s) || is_geodesic(s)) || s.get<std::int64_t>("--trials") > 0,
      fmt::format("--trials 0: --step-rule {} tries at least one rate", s.in_words("--step-rule")));
}

void require_form_of_structure(const Settings& s) {
  require(
      s.get<Form>("--form") != Form::dual || s.get<Structure>("--structure") != Structure::diagonal,
      "--form dual: has no meaning with --structure diagonal");
}

void require_system_of_scaling(const Settings& s) {
  const auto scaling = s.get<DampingScaling>("--damping-scaling");
  require(
      scaling == DampingScaling::identity || s.get<Structure>("--structure") != Structure::diagonal,
      "--damping-scaling: a diagonal takes identity alone");
  require(scaling != DampingScaling::diagonal || s.get<Form>("--form") != Form::dual,
          "--damping-scaling diagonal: has no meaning with --form dual, take tensor or --form "
          "primal");
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

}  // namespace

bool compares_kl(const Settings& settings) {
  return settings.get_or("--step-rule", StepRuleName::fixed) == StepRuleName::kl &&
         settings.get_or<std::int64_t>("--trials", 0) > 0;
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
       .type = choice<FisherKind>({{"empirical", FisherKind::empirical},
                                   {"sampled", FisherKind::sampled},
                                   {"exact", FisherKind::exact},
                                   {"residual", FisherKind::residual}}),
       .help = "targets of the Fisher's rows: the data's, drawn from the model, or none: its "
               "expectation, a row for each output of a sample; residual: the rows of least "
               "squares, of poisson alone",
       .otherwise = "empirical",
       .no_meaning = natural_only,
       .require = require_fisher_of_task},
      {.name = "--fisher-draws",
       .group = group,
       .type = number(counting, "N"),
       .help = "targets drawn a sample",
       .otherwise = "1",
       .no_meaning = sampled_only},
      {.name = "--structure",
       .group = group,
       .type = choice<Structure>(choices_of(structure_table)),
       .help = "part of the Fisher matrix that a natural step takes; blocks are the layers",
       .otherwise = "full",
       .no_meaning = natural_only},
      {.name = "--form",
       .group = group,
       .type = choice<Form>(
           {{"auto", Form::automatic}, {"primal", Form::primal}, {"dual", Form::dual}}),
       .help = "system that a natural step factorizes",
       .otherwise = "auto",
       .no_meaning = natural_only,
       .require = require_form_of_structure},
      {.name = "--step-rule",
       .group = group,
       .type = choice<StepRuleName>({{"fixed", StepRuleName::fixed},
                                     {"kl", StepRuleName::kl},
                                     {"backtracking", StepRuleName::backtracking},
                                     {"quadratic", StepRuleName::quadratic},
                                     {"geodesic", StepRuleName::geodesic}}),
       .help = "length of a natural step: the rate, a predicted KL divergence, the first of "
               "halved rates at which the batch's loss falls, rate and momentum of the "
               "quadratic model, or of least squares the best of halved rates along a parabola",
       .otherwise = "fixed",
       .no_meaning = natural_only,
       .require = require_fisher_of_rule},
      {.name = "--rate",
       .group = group,
       .type = rate_and_decay(),
       .help = "step length, falling to 0 over the run's steps if so; with --step-rule kl and "
               "backtracking and geodesic the largest, with quadratic a factor",
       .require = require_constant_rate},
      {.name = "--kl-radius",
       .group = group,
       .type = number(positive, "X"),
       .help = "KL divergence of a step, nats a sample",
       .otherwise = "0.01",
       .no_meaning = kl_only},
      {.name = "--trials",
       .group = group,
       .type = number(trial_count, "N"),
       .help =
           "rates that a natural step tries at most, each half the one before; with "
           "--step-rule kl until loss and actual KL divergence are good, 0: neither is measured",
       .otherwise = "0",
       .no_meaning = searching_only,
       .require = require_trials},
      {.name = "--max-norm",
       .group = group,
       .type = number(positive, "X"),
       .help = "largest norm of a natural step",
       .no_meaning = natural_only},
      {.name = "--damping",
       .group = group,
       .type = damping_number(),
       .help = "added to the eigenvalues of the Fisher matrix; relative: in units of their mean; "
               "falling by a FACTOR a step; lm: by the reduction ratio of the loss; length: by the "
               "rate "
               "that a step rule finds, or falling and growing where it finds none",
       .no_meaning = natural_only,
       .require = require_fisher_of_damping},
      {.name = "--damping-scaling",
       .group = group,
       .type = choice<DampingScaling>(choices_of(damping_scaling_table)),
       .help = "unit of --damping: that of the Fisher matrix, the mean diagonal element of each "
               "tensor, or each diagonal element",
       .otherwise = "identity",
       .no_meaning = natural_only,
       .require = require_system_of_scaling},
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
       .no_meaning = takes_momentum},
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

const std::vector<OptimizerDefaults>& optimizer_defaults() {
  // The first row that holds and has an option gives its value.
  static const std::vector<OptimizerDefaults> table = {
      {"natural",
       "--structure diagonal",
       is_diagonal,
       {{"--spring", "0.9"}, {"--rate", "0.1"}, {"--damping", "0.3"}}},
      {"natural",
       "ising --samples",
       [](const Settings& s) { return is_ising(s) && s.given("--samples"); },
       {{"--spring", "0.9"},
        {"--momentum", "0"},
        {"--rate", "0.2"},
        {"--damping", "relative:0.001"}}},
      {"natural",
       "ising",
       is_ising,
       {{"--momentum", "0"}, {"--rate", "0.2"}, {"--damping", "relative:0.0001"}}},
      {"natural",
       "--step-rule backtracking",
       is_backtracking,
       {{"--rate", "1"}, {"--trials", "8"}}},
      {"natural", "--step-rule quadratic", is_quadratic, {{"--rate", "1"}}},
      {"natural",
       "--fisher residual --resample",
       [](const Settings& s) { return is_residual(s) && s.given("--resample"); },
       {{"--rate", "1"}, {"--damping", "length:1e-05:0.8:1e-08"}, {"--trials", "20"}}},
      {"natural",
       "--fisher residual",
       is_residual,
       {{"--rate", "1"}, {"--damping", "length:0.001"}, {"--trials", "20"}}},
      {"natural",
       "--fisher empirical",
       is_empirical,
       {{"--spring", "0.9"}, {"--rate", "0.4"}, {"--damping", "0.03"}}},
      {"natural",
       "--fisher sampled",
       [](const Settings& s) { return is_sampled(s) && !is_diagonal(s); },
       {{"--momentum", "0.9"}, {"--rate", "0.3:linear"}, {"--damping", "0.03"}}},
      {"natural",
       "--fisher exact",
       is_exact,
       {{"--spring", "0.9"}, {"--rate", "0.4"}, {"--damping", "0.03"}}},
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
