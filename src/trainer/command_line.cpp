#include "trainer/command_line.hpp"

#include "natgrad/version.hpp"
#include "trainer/data/dataset.hpp"
#include "trainer/values.hpp"

#include <CLI/CLI.hpp>

#include <string_view>
#include <utility>

namespace natgrad::trainer {

namespace {

std::string version_text() {
  return detail::message("natgrad-train ", version(), "\n\nBuilt-in data\n",
                         io::digits_attribution);
}

template <class T>
CLI::Option* add_number(CLI::App& app, const std::string& name, std::optional<T>& value,
                        const Expected<T>& expected, const std::string& help) {
  return app
      .add_option_function<std::string>(
          name,
          [&value, name, &expected](const std::string& text) {
            value = parse_number(name, text, expected);
          },
          help)
      ->type_name("X");
}

template <class T>
using Choices = std::vector<std::pair<std::string, T>>;

/// `Target` is T or std::optional<T>.
template <class T, class Target>
CLI::Option* add_choice(CLI::App& app, const std::string& name, Target& value,
                        const Choices<T>& choices, const std::string& help) {
  std::string names;
  for (const auto& choice : choices) names += (names.empty() ? "" : "|") + choice.first;
  return app
      .add_option_function<std::string>(
          name,
          [&value, name, names, choices](const std::string& text) {
            for (const auto& [word, meaning] : choices) {
              if (word == text) {
                value = meaning;
                return;
              }
            }
            throw_unexpected(name, text, names);
          },
          help)
      ->type_name(names);
}

Damping parse_damping(const std::string& text) {
  constexpr std::string_view relative = "relative:";
  if (!text.starts_with(relative)) {
    return {.absolute = parse_number("--damping", text, not_negative), .relative = 0};
  }
  const std::string_view number = std::string_view(text).substr(relative.size());
  return {.absolute = 0, .relative = parse_number("--damping", number, not_negative)};
}

Rate parse_rate(const std::string& text) {
  const std::size_t colon = text.find(':');
  const Rate rate = {parse_number("--rate", text.substr(0, colon), positive)};
  if (colon == std::string::npos) return rate;
  const std::string decay = text.substr(colon + 1);
  if (decay == "linear") return {rate.first, RateDecay::linear};
  if (decay == "cosine") return {rate.first, RateDecay::cosine};
  throw_unexpected("--rate", text, "a number > 0, alone or with :linear or :cosine");
}

void add_step_options(CLI::App& app, CommandLine& line) {
  add_choice<StepRuleName>(app, "--step-rule", line.step_rule,
                           {{"fixed", StepRuleName::fixed}, {"kl", StepRuleName::kl}},
                           "length of a natural step: the rate (default), or a predicted KL");
  app.add_option_function<std::string>(
         "--rate", [&line](const std::string& text) { line.rate = parse_rate(text); },
         "step length, falling to 0 over the run's steps if so; with --step-rule kl the largest")
      ->type_name("X[:linear|:cosine]");
  add_number(app, "--kl-radius", line.kl_radius, positive,
             "KL divergence of a step, nats a sample (--step-rule kl)");
  add_number(app, "--max-norm", line.max_norm, positive, "largest norm of a natural step");
}

void add_optimizer_options(CLI::App& app, CommandLine& line) {
  add_choice<OptimizerName>(app, "--optimizer", line.optimizer,
                            {{"natural", OptimizerName::natural},
                             {"sgd", OptimizerName::sgd},
                             {"adam", OptimizerName::adam}},
                            "method (default natural)");
  add_choice<FisherKind>(
      app, "--fisher", line.fisher,
      {{"empirical", FisherKind::empirical}, {"sampled", FisherKind::sampled}},
      "labels of the Fisher's rows: the data's (default), or drawn from the model");
  add_number(app, "--fisher-draws", line.fisher_draws, counting,
             "labels drawn a sample (default 1)")
      ->type_name("N");
  add_choice<Form>(app, "--form", line.form,
                   {{"auto", Form::automatic}, {"primal", Form::primal}, {"dual", Form::dual}},
                   "system that a natural step factorizes (default auto)");
  add_step_options(app, line);
  app.add_option_function<std::string>(
         "--damping", [&line](const std::string& text) { line.damping = parse_damping(text); },
         "added to the eigenvalues of the Fisher matrix; relative: in units of their mean")
      ->type_name("X|relative:X");
  add_number(app, "--refinement", line.refinement, repeats,
             "corrections of a natural step's solve, from the rows in double (default 0)")
      ->type_name("N");
  add_number(app, "--momentum", line.momentum, decay, "heavy ball (natural) or classical (sgd)");
  add_number(app, "--spring", line.spring, decay, "SPRING momentum (natural)");
  add_number(app, "--weight-decay", line.weight_decay, not_negative,
             "weights shrink by rate times X a step");
}

void add_model_options(CLI::App& app, CommandLine& line) {
  app.add_option_function<std::string>(
         "--hidden",
         [&line](const std::string& text) { line.hidden = parse_list("--hidden", text); },
         "widths of the hidden layers, as 512,512")
      ->type_name("LIST|none");
  add_choice<Activation>(app, "--activation", line.activation,
                         {{"tanh", Activation::tanh},
                          {"relu", Activation::relu},
                          {"sigmoid", Activation::sigmoid},
                          {"gelu", Activation::gelu}},
                         "of the hidden layers (default tanh)");
}

void add_run_options(CLI::App& app, CommandLine& line) {
  add_number(app, "--batch", line.batch, counting, "samples a step, at most")->type_name("N");
  add_number(app, "--epochs", line.epochs, counting, "passes over the data")->type_name("N");
  add_number(app, "--steps", line.steps, counting,
             "steps; with --epochs, whichever is smaller ends the run")
      ->type_name("N");
  add_number(app, "--split", line.split, key,
             "key of the digits' training and test sets (default 0)")
      ->type_name("N");
  add_number(app, "--seed", line.seed, key,
             "key of initial weights, shuffles and drawn labels (default 0)")
      ->type_name("N");
  add_choice<std::optional<DeviceKind>>(
      app, "--device", line.device,
      {{"auto", std::nullopt}, {"cpu", DeviceKind::cpu}, {"cuda", DeviceKind::cuda}},
      "where to train (default auto)");
  add_choice<ElementType>(app, "--precision", line.precision,
                          {{"float", ElementType::float32}, {"double", ElementType::float64}},
                          "of weights and data (default float)");
  app.add_flag("--allow-tf32", line.allow_tf32,
               "products of float may take a GPU's TF32, of eleven bits; the primal form's solve "
               "stays in double");
  add_number(app, "--threads", line.threads, thread_count,
             "CPU threads (default: as many as OpenMP takes)")
      ->type_name("N");
}

/// An empty name would be taken for none.
void add_file(CLI::App& app, const std::string& name, std::string& value, const std::string& help) {
  app.add_option_function<std::string>(
         name,
         [&value, name](const std::string& text) {
           if (text.empty()) throw_unexpected(name, "\"\"", "the name of a file");
           value = text;
         },
         help)
      ->type_name("FILE");
}

void add_output_options(CLI::App& app, CommandLine& line) {
  add_number(app, "--evaluate-every", line.evaluate_every, counting,
             "steps between evaluations (default: at the end of every epoch)")
      ->type_name("STEPS");
  add_file(app, "--metrics", line.metrics_file, "write figures as JSON lines");
  add_file(app, "--checkpoint", line.checkpoint_file,
           "save the run at every evaluation and at the end");
  add_file(app, "--resume", line.resume_file, "go on where a saved run stands");
  app.add_flag("--quiet", line.quiet, "print errors only");
  app.add_flag("--plan", line.plan, "print the memory that the run takes, and do not train");
  app.set_version_flag("--version", version_text(), "print version and attributions");
}

}  // namespace

std::optional<std::string> parse_command_line(int argc, const char* const* argv,
                                              const std::string& footer, CommandLine& line) {
  CLI::App app(
      "Trains a classifier with the exact natural gradient, or a plain one to compare with.",
      "natgrad-train");
  app.footer(footer);
  app.add_option("TASK", line.task, "digits (built in) or mnist")->type_name("");
  app.add_option("DIR", line.directory, "directory of mnist's four IDX files, plain or gzip")
      ->type_name("");
  add_optimizer_options(app, line);
  add_model_options(app, line);
  add_run_options(app, line);
  add_output_options(app, line);
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    return app.help();
  } catch (const CLI::CallForVersion& version) {
    return std::string(version.what()) + '\n';
  } catch (const CLI::ParseError& error) {
    throw OptionError(error.what());
  }
  return std::nullopt;
}

}  // namespace natgrad::trainer
