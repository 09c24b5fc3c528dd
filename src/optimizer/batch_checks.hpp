#pragma once

#include "natgrad/natural_gradient.hpp"
#include "optimizer/active_parameters.hpp"
#include "optimizer/rules/step_rule.hpp"

#include <cstdint>

namespace natgrad::detail {

/// What a batch is held against before anything runs.
struct BatchContract {
  const Parameters& parameters;
  const ActiveParameters& active;
  const NaturalGradient::Options& options;
  StrategyNeeds rule;
  StrategyNeeds damping;
  Form form = Form::automatic;  // that was asked for, or that the parts of a batch take
  bool damped = true;           // lambda + eta > 0
  bool starts = false;          // the solve starts from another direction (SPRING)
};

/// Throws an `Error` that names `caller` and the operand where rows, gradient, kind, centring and
/// options do not go together.
void check_batch(const char* caller, const Batch& batch, const BatchContract& contract);

/// Throws `OptionError` where the batch lacks a function that step rule or damping call.
void check_functions(const char* caller, const Batch& batch, const BatchContract& contract);

/// Throws `ArgumentError` where a batch in parts is nothing for step rule or damping.
void require_takes_parts(const char* caller, const BatchContract& contract);

/// Throws `ArgumentError` for rows that are a part of their batch.
void require_whole_batch(const char* caller, const Batch& batch);

/// Throws `ArgumentError` for a gradient that a singular F has no direction for.
void require_damping(const char* caller, std::int64_t rows, const BatchContract& contract);

}  // namespace natgrad::detail
