#pragma once

#include "natgrad/damping.hpp"
#include "natgrad/natural_gradient.hpp"
#include "natgrad/types.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace natgrad::trainer {

enum class OptimizerName : std::uint8_t { natural, sgd, adam };
enum class StepRuleName : std::uint8_t { fixed, kl };

/// --rate, as "0.3:linear".
struct Rate {
  double first = 0;
  RateDecay decay = RateDecay::none;
};

/// The options as given, each in range by itself; whether they fit together is not yet known.
struct CommandLine {
  std::string task;
  std::string directory;
  OptimizerName optimizer = OptimizerName::natural;
  std::optional<FisherKind> fisher;
  std::optional<std::int64_t> fisher_draws;
  std::optional<Form> form;
  std::optional<StepRuleName> step_rule;
  std::optional<double> kl_radius;
  std::optional<Rate> rate;
  std::optional<double> max_norm;
  std::optional<std::int64_t> refinement;
  bool allow_tf32 = false;
  std::optional<Damping> damping;
  std::optional<double> momentum;
  std::optional<double> spring;
  std::optional<double> weight_decay;
  std::optional<std::vector<std::int64_t>> hidden;
  std::optional<Activation> activation;
  std::optional<std::int64_t> batch;
  std::optional<std::int64_t> epochs;
  std::optional<std::int64_t> steps;
  std::optional<std::uint64_t> split;
  std::optional<std::uint64_t> seed;
  std::optional<DeviceKind> device;  // none: the best there is
  ElementType precision = ElementType::float32;
  std::optional<std::int64_t> threads;
  std::optional<std::int64_t> evaluate_every;
  std::string metrics_file;
  std::string checkpoint_file;
  std::string resume_file;
  bool quiet = false;
  bool plan = false;
};

/// Reads the command line into `line`, or returns a text to print instead (--help, --version).
/// `footer` ends the help. Throws `OptionError` for an option that is unknown or out of range.
std::optional<std::string> parse_command_line(int argc, const char* const* argv,
                                              const std::string& footer, CommandLine& line);

}  // namespace natgrad::trainer
