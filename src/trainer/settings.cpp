#include "trainer/settings.hpp"

#include "natgrad/error.hpp"
#include "trainer/options.hpp"
#include "trainer/tasks/task.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace natgrad::trainer {

void require(bool holds, const std::string& text) {
  if (!holds) throw OptionError(text);
}

namespace {

const std::string none = "none";

std::string value_of(std::string_view name, const std::vector<NamedValue>& values) {
  const auto found = std::ranges::find(values, name, &NamedValue::first);
  return found == values.end() ? std::string() : found->second;
}

bool contains(const std::vector<std::string>& names, const std::string& name) {
  return std::ranges::find(names, name) != names.end();
}

/// "digits, or mnist DIR"
std::string known_tasks() {
  std::string text;
  const std::vector<TaskRow>& tasks = task_table();
  for (const TaskRow& task : tasks) {
    if (!text.empty()) text += &task == &tasks.back() ? ", or " : ", ";
    text += task.usage();
  }
  return text;
}

const TaskRow& find_task(const CommandLine& line) {
  require(!line.task.empty(), fmt::format("no TASK given: {} (see --help)", known_tasks()));
  const auto found = std::ranges::find(task_table(), line.task, &TaskRow::name);
  require(found != task_table().end(),
          fmt::format("TASK {}: expected {}", line.task, known_tasks()));
  const TaskRow& task = *found;
  require(line.operand.empty() || !task.operand.empty(),
          fmt::format("{} takes nothing behind it, not {}", task.name, line.operand));
  require(!line.operand.empty() || task.operand.empty(),
          fmt::format("{} needs the {}: {}", task.name, task.operand_help, task.usage()));
  return task;
}

}  // namespace

Settings::Settings(const CommandLine& line) : Settings(line, find_task(line)) {}

Settings::Settings(const CommandLine& line, const TaskRow& task) : line_(line), task_(&task) {
  for (const auto& option : line_.given) {
    const std::string& name = option.first;
    const auto is_named = [&name](const OptionRow* row) { return row->name == name; };
    if (std::ranges::none_of(rows(), is_named)) {
      throw OptionError(fmt::format("{}: has no meaning with {}", name, task_->name));
    }
  }
  for (const OptionRow* row : rows()) fill_in(*row);
  for (const OptionRow* row : rows()) {
    if (row->require && has(row->name)) row->require(*this);
  }
}

/// The rows that this run may have, each behind those that it depends on.
std::vector<const OptionRow*> Settings::rows() const {
  std::vector<const OptionRow*> rows;
  for (const OptionRow& row : option_table()) {
    if (!row.of_tasks || contains(task_->takes, row.name)) rows.push_back(&row);
  }
  for (const OptionRow& row : task_->options) rows.push_back(&row);
  return rows;
}

void Settings::fill_in(const OptionRow& row) {
  const std::string obstacle = row.no_meaning ? row.no_meaning(*this) : std::string();
  if (!given(row.name)) {
    const std::string text = obstacle.empty() ? default_of(row) : std::string();
    if (!text.empty()) values_[row.name] = row.type.parse(row.name, text);
    return;
  }
  if (!obstacle.empty()) {
    throw OptionError(fmt::format("{}: has no meaning {}", row.name, obstacle));
  }
  values_[row.name] = row.type.parse(row.name, line_.given.at(row.name));
}

std::string Settings::default_of(const OptionRow& row) const {
  if (!row.unless.empty() && given(row.unless)) return {};
  if (std::string text = value_of(row.name, task_->defaults); !text.empty()) return text;
  for (const OptimizerDefaults& defaults : optimizer_defaults()) {
    std::string text = value_of(row.name, defaults.values);
    if (!text.empty() && defaults.holds(*this)) return text;
  }
  return row.otherwise;
}

const std::any* Settings::find(std::string_view name) const {
  const auto found = values_.find(name);
  return found == values_.end() ? nullptr : &found->second;
}

std::string Settings::in_words(std::string_view name) const {
  for (const OptionRow* row : rows()) {
    if (row->name == name && has(name)) return row->type.in_words(*find(name));
  }
  return none;
}

std::vector<NamedValue> Settings::saved() const {
  std::vector<NamedValue> values = {{"TASK", task_->name}};
  for (const OptionRow* row : rows()) {
    if (row->saved && has(row->name)) values.emplace_back(row->name, in_words(row->name));
  }
  return values;
}

void require_same_run(const std::string& file, const std::vector<NamedValue>& saved,
                      const std::vector<NamedValue>& given) {
  const auto words = [](const std::string& name, const std::vector<NamedValue>& values) {
    const std::string value = value_of(name, values);
    return value.empty() ? none : value;
  };
  const auto compare = [&](const std::string& name) {
    const std::string before = words(name, saved);
    const std::string now = words(name, given);
    if (before == now) return;
    throw OptionError(fmt::format("{0} {1}: the run in {2} has {0} {3}", name, now, file, before));
  };
  for (const auto& [name, value] : given) compare(name);
  for (const auto& [name, value] : saved) compare(name);
}

}  // namespace natgrad::trainer
