#include "trainer/command_line.hpp"

#include "natgrad/error.hpp"
#include "natgrad/version.hpp"
#include "trainer/data/dataset.hpp"
#include "trainer/options.hpp"
#include "trainer/tasks/task.hpp"

#include <CLI/CLI.hpp>
#include <fmt/format.h>

namespace natgrad::trainer {

namespace {

std::string version_text() {
  return fmt::format("natgrad-train {}\n\nBuilt-in data\n{}", version(), digits_attribution);
}

/// "one, two or three" of the tasks, each as `words` has it.
template <class Words>
std::string of_tasks(const Words& words) {
  std::string text;
  for (const TaskRow& task : task_table()) {
    const std::string part = words(task);
    if (!part.empty()) text += (text.empty() ? "" : "; ") + part;
  }
  return text;
}

void add_row(CLI::App& app, const OptionRow& row) {
  const std::string help =
      row.otherwise.empty() ? row.help : fmt::format("{} (default {})", row.help, row.otherwise);
  CLI::Option* option = app.get_option_no_throw(row.name);
  if (option != nullptr) {
    // Another task has an option of this name: one line of help for both.
    option->description(fmt::format("{}; {}: {}", option->get_description(), row.group, help));
    return;
  }
  if (row.type.argument.empty()) {
    option = app.add_flag(row.name, help);
  } else {
    option = app.add_option(row.name, CLI::callback_t(), help)
                 ->type_name(row.type.argument)
                 ->expected(1)
                 // `take_row` says that an option is given twice; CLI11 would keep the last.
                 ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
                 ->allow_extra_args(false);
  }
  option->group(row.group);
}

void take_row(const CLI::App& app, const OptionRow& row, CommandLine& line) {
  const CLI::Option* option = app.get_option(row.name);
  if (option->count() == 0) return;
  if (option->count() > 1) {
    throw OptionError(fmt::format("{}: given {} times, expected once", row.name, option->count()));
  }
  const bool is_flag = row.type.argument.empty();
  line.given[row.name] = is_flag ? std::string() : option->results().front();
}

/// Calls visit(row) for every option that there is.
template <class Visit>
void for_each_row(const Visit& visit) {
  for (const OptionRow& row : option_table()) visit(row);
  for (const TaskRow& task : task_table()) {
    for (const OptionRow& row : task.options) visit(row);
  }
}

}  // namespace

std::optional<std::string> parse_command_line(int argc, const char* const* argv,
                                              CommandLine& line) {
  CLI::App app("Trains a model with the exact natural gradient, or a plain one to compare with.",
               "natgrad-train");
  app.footer(help_footer());
  app.add_option("TASK", line.task,
                 of_tasks([](const TaskRow& t) { return fmt::format("{} ({})", t.name, t.help); }))
      ->type_name("");
  app.add_option("OPERAND", line.operand, of_tasks([](const TaskRow& t) {
                   if (t.operand.empty()) return std::string();
                   return fmt::format("{} of {}: {}", t.operand, t.name, t.operand_help);
                 }))
      ->type_name("");
  for_each_row([&](const OptionRow& row) { add_row(app, row); });
  app.set_version_flag("--version", version_text(), "print version and attributions")
      ->group("Output");
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    return app.help();
  } catch (const CLI::CallForVersion& version) {
    return std::string(version.what()) + '\n';
  } catch (const CLI::ParseError& error) {
    throw OptionError(error.what());
  }
  for_each_row([&](const OptionRow& row) { take_row(app, row, line); });
  return std::nullopt;
}

}  // namespace natgrad::trainer
