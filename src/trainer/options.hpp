#pragma once

#include "trainer/option_row.hpp"
#include "trainer/settings.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace natgrad::trainer {

enum class OptimizerName : std::uint8_t { natural, sgd, adam };
enum class StepRuleName : std::uint8_t { fixed, kl, backtracking, quadratic, geodesic };

/// The options of the program; a task may add more (`TaskRow::options`). Each row
/// stands behind those that it depends on.
const std::vector<OptionRow>& option_table();

/// The part of it that is about optimizers.
std::vector<OptionRow> optimizer_rows();

/// Whether the step rule asks a batch for the KL divergence of what it tries.
bool compares_kl(const Settings& settings);

/// What the optimizers take unless the command line or the task says otherwise.
struct OptimizerDefaults {
  std::string optimizer;  ///< as --help names it
  std::string condition;  ///< the options that it holds for; empty: none
  bool (*holds)(const Settings& settings);
  std::vector<NamedValue> values;
};

const std::vector<OptimizerDefaults>& optimizer_defaults();

/// The defaults of tasks and optimizers and the rules of a run, as --help tells them.
std::string help_footer();

}  // namespace natgrad::trainer
