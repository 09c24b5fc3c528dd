#pragma once

#include "trainer/option_row.hpp"

#include <any>
#include <map>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace natgrad::trainer {

struct TaskRow;

/// A name, and a value in words.
using NamedValue = std::pair<std::string, std::string>;

/// The command line as given: nothing is interpreted yet.
struct CommandLine {
  std::string task;
  std::string operand;                       ///< what followed TASK
  std::map<std::string, std::string> given;  ///< texts of the options by name; "" of a flag
};

/// The options of one run, defaults filled in: values by the options' names, each of the type that
/// its row in the table has.
class Settings {
 public:
  /// Interprets the command line. Throws `OptionError` for an unknown task, a value that is none,
  /// an option without a meaning for the task or beside the other options, and values that exclude
  /// each other.
  explicit Settings(const CommandLine& line);
  /// Interprets it for a task that need not be in the table; `task` must outlive the settings.
  Settings(const CommandLine& line, const TaskRow& task);

  const TaskRow& task() const { return *task_; }
  const std::string& operand() const { return line_.operand; }  ///< as the directory of mnist

  /// Whether the command line has the option.
  bool given(std::string_view name) const { return line_.given.contains(std::string(name)); }
  /// Whether the option has a value, given or by default.
  bool has(std::string_view name) const { return find(name) != nullptr; }

  /// The value of an option. Throws `std::logic_error` where it has none, or one of another type.
  template <class T>
  T get(std::string_view name) const {
    const T* value = std::any_cast<T>(find(name));
    if (value == nullptr) throw std::logic_error("no such setting: " + std::string(name));
    return *value;
  }
  template <class T>
  T get_or(std::string_view name, T otherwise) const {
    return has(name) ? get<T>(name) : otherwise;
  }
  bool is_on(std::string_view name) const { return has(name); }  ///< of a flag

  /// The value of an option as the command line takes it; "none" where it has none.
  std::string in_words(std::string_view name) const;

  /// What the run's figures depend on: the task and the options whose rows are `saved`. Options
  /// without a value are left out.
  std::vector<NamedValue> saved() const;

 private:
  const std::any* find(std::string_view name) const;
  void fill_in(const OptionRow& row);
  std::string default_of(const OptionRow& row) const;
  std::vector<const OptionRow*> rows() const;

  CommandLine line_;
  const TaskRow* task_;
  std::map<std::string, std::any, std::less<>> values_;
};

/// Throws `OptionError` with the text unless the condition holds.
void require(bool holds, const std::string& text);

/// Throws `OptionError` naming the first option in which a run differs from the one that `file`
/// holds, and both values.
void require_same_run(const std::string& file, const std::vector<NamedValue>& saved,
                      const std::vector<NamedValue>& given);

}  // namespace natgrad::trainer
