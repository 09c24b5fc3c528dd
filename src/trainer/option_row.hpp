#pragma once

#include <any>
#include <functional>
#include <string>
#include <string_view>

namespace natgrad::trainer {

class Settings;

/// What values an option takes: how they are written, read and printed.
struct ValueType {
  std::string argument;  ///< as --help shows it, "X" or "fixed|kl"; empty: a flag
  /// Returns the value that `text` stands for. Throws `OptionError` naming the option, the text and
  /// what was expected.
  std::function<std::any(std::string_view option, std::string_view text)> parse;
  /// Writes a value as the command line takes it: equal values, equal texts.
  std::function<std::string(const std::any& value)> in_words;
};

/// One option of natgrad-train: a row of the table. The command line, --help, the defaults and what
/// a checkpoint keeps of a run all follow from the rows.
struct OptionRow {
  std::string name;   ///< "--rate"
  std::string group;  ///< heading in --help
  ValueType type;
  std::string help;
  /// The value where neither the command line, the task nor the optimizer says another; empty:
  /// there is none, and `Settings::has` is false.
  std::string otherwise = {};
  /// Another option: where that one is given, this one has no default.
  std::string unless = {};
  /// Says beside what the option would have no meaning ("with --quiet", "without --fisher
  /// sampled"); empty: it has one. Sees the task and the rows before this one.
  std::function<std::string(const Settings& settings)> no_meaning = {};
  /// Throws `OptionError` for a value that does not go with the others. Sees all rows.
  std::function<void(const Settings& settings)> require = {};
  bool of_tasks = false;  ///< only for tasks that list it (`TaskRow::takes`)
  bool saved = true;      ///< the figures depend on it: a run is resumed with the same value only
};

}  // namespace natgrad::trainer
