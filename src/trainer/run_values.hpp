#pragma once

#include "trainer/options.hpp"

#include <string>
#include <utility>
#include <vector>

namespace natgrad::trainer {

/// An option as --help names it, and its value in words.
using NamedValue = std::pair<std::string, std::string>;

/// The options that a run's figures depend on, defaults filled in: all but how long it is, how
/// often it is evaluated, what it runs on and where it leaves its figures.
std::vector<NamedValue> run_values(const Options& options);

/// Throws `OptionError` naming the first option in which a run differs from the one that `file`
/// holds, and both values.
void require_same_run(const std::string& file, const std::vector<NamedValue>& saved,
                      const std::vector<NamedValue>& given);

}  // namespace natgrad::trainer
