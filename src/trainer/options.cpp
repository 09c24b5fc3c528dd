#include "trainer/options.hpp"

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

// What an option goes with: each function says beside what it does not.

std::string hidden_layers_only(const Settings& s) {
  return s.get<std::vector<std::int64_t>>("--hidden").empty() ? "with --hidden none" : "";
}

std::string float_only(const Settings& s) {
  return s.get<ElementType>("--precision") == ElementType::float32 ? "" : "with --precision double";
}

std::string natural_and_not_quiet(const Settings& s) {
  if (s.is_on("--quiet")) return "with --quiet";
  const bool is_natural = s.get<OptimizerName>("--optimizer") == OptimizerName::natural;
  return is_natural ? "" : "with --optimizer " + s.in_words("--optimizer");
}

/// The name of the file that a link leads to, which need not exist; else the name itself.
std::filesystem::path target_of(std::filesystem::path name) {
  std::error_code error;
  for (int links = 0; links < 40 && std::filesystem::is_symlink(name, error); ++links) {
    const std::filesystem::path next = std::filesystem::read_symlink(name, error);
    if (error) break;
    name = name.parent_path() / next;
  }
  return name;
}

/// Whether two names lead to one file, by links and detours too.
bool same_file(const std::string& a, const std::string& b) {
  std::error_code ignored;
  if (std::filesystem::equivalent(a, b, ignored)) return true;
  const auto place = [](const std::string& name) {
    return std::filesystem::weakly_canonical(std::filesystem::absolute(target_of(name)));
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
      {.name = "--split",
       .group = group,
       .type = number(key, "N"),
       .help = "key of training and test set",
       .otherwise = "0",
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
       .help = "key of initial weights, shuffles, drawn targets, actions and starts",
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

}  // namespace natgrad::trainer
