#include "optimizer/options.hpp"

#include "core/message.hpp"
#include "natgrad/error.hpp"

#include <cmath>
#include <limits>

namespace natgrad::detail {

namespace {

/// Requires least <= value (or least < value), value <= most, value finite.
void check_range(const char* name, double value, bool in_range, const char* range,
                 std::string& errors) {
  if (std::isfinite(value) && in_range) return;
  if (!errors.empty()) errors += "; ";
  errors += message(name, " = ", value, ", must be ", range);
}

}  // namespace

void check_damping(const Damping& damping, std::string& errors) {
  check_range(".damping.absolute", damping.absolute, damping.absolute >= 0, "finite and >= 0",
              errors);
  check_range(".damping.relative", damping.relative, damping.relative >= 0, "finite and >= 0",
              errors);
}

void throw_option_errors(const char* caller, const std::string& errors) {
  if (!errors.empty()) throw OptionError(message(caller, ": ", errors));
}

void check_options(const NaturalGradient::Options& options) {
  std::string errors;
  check_damping(options.damping, errors);
  const double rate = options.step.rate;
  check_range(".step rate", rate, rate > 0, "finite and > 0", errors);
  if (const auto* rule = std::get_if<HeavyBall>(&options.momentum)) {
    check_range(".momentum decay", rule->decay, rule->decay >= 0 && rule->decay < 1, ">= 0 and < 1",
                errors);
  }
  if (const auto* rule = std::get_if<Spring>(&options.momentum)) {
    check_range(".momentum decay", rule->decay, rule->decay >= 0 && rule->decay < 1, ">= 0 and < 1",
                errors);
  }
  const double decay = options.weight_decay;
  check_range(".weight_decay", decay, decay >= 0 && !(decay * rate > 1),
              "finite, >= 0 and <= 1 / rate", errors);
  throw_option_errors("optimizer", errors);
}

}  // namespace natgrad::detail
