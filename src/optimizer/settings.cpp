#include "optimizer/settings.hpp"

#include "core/option_errors.hpp"
#include "curvature/damping_options.hpp"
#include "curvature/groups.hpp"
#include "optimizer/damping/damping_strategy.hpp"
#include "optimizer/rules/step_rule.hpp"

#include <algorithm>

namespace natgrad::detail {

template <>
constexpr RateDecay last_enumerator() {
  return RateDecay::cosine;
}

// Formulas name these by their numbers.
static_assert(static_cast<double>(RateDecay::linear) == formulas::decay_linear);
static_assert(static_cast<double>(RateDecay::cosine) == formulas::decay_cosine);

namespace {

void check_momentum(const Momentum& momentum, OptionErrors& errors) {
  const auto check = [&](double decay) {
    errors.check(".momentum decay", decay, decay >= 0 && decay < 1, ">= 0 and < 1");
  };
  if (const auto* rule = std::get_if<HeavyBall>(&momentum)) check(rule->decay);
  if (const auto* rule = std::get_if<Spring>(&momentum)) check(rule->decay);
}

double check_factors(const char* name, const std::vector<SegmentFactor>& factors,
                     OptionErrors& errors) {
  double largest = 1;
  for (const SegmentFactor& f : factors) {
    errors.check(name, f.factor, f.factor >= 0, "finite and >= 0");
    largest = std::max(largest, f.factor);
  }
  return largest;
}

void check_schedule(const RateSchedule& schedule, OptionErrors& errors) {
  errors.check_enumerator(".schedule decay", schedule.decay);
  errors.check(".schedule steps", static_cast<double>(schedule.steps),
               schedule.decay == RateDecay::none || schedule.steps > 0, "> 0");
}

/// In sample space a penalty by tensor joins the units of the damping, eta / lambda of them.
void check_l2_by_tensor(const NaturalGradient::Options& options) {
  if (!l2_by_tensor(options) || options.form == Form::primal) return;
  if (options.structure == Structure::diagonal) return;
  const Damping& damping = options.damping;
  const bool by_parameter = damping.scaling == DampingScaling::diagonal;
  if (!by_parameter && damping.absolute > 0 && damping.relative == 0) return;
  throw OptionError(
      message("optimizer: .l2 ",
              options.l2_factors.empty() ? "beside a scaled damping" : "with .l2_factors",
              " takes Form::primal, or in the dual form .damping of an absolute part alone, > 0",
              by_parameter ? ", that is not by the diagonal" : ""));
}

/// Least squares along a parabola: what d must be, and the loss that its residuals are all of.
void check_bend(const NaturalGradient::Options& options, const StepRuleStrategy& rule) {
  if (!rule.bends()) return;
  const bool scales =
      std::any_of(options.rate_factors.begin(), options.rate_factors.end(),
                  [](const SegmentFactor& f) { return f.factor != 0 && f.factor != 1; });
  const char* obstacle = nullptr;
  if (options.structure != Structure::full) obstacle = ".structure = full";
  if (!std::holds_alternative<NoMomentum>(options.momentum)) obstacle = ".momentum = NoMomentum";
  if (options.l2 > 0) obstacle = ".l2 = 0: a penalty is further residuals";
  if (options.weight_decay > 0) obstacle = ".weight_decay = 0";
  if (scales) obstacle = ".rate_factors of 0 and 1 alone";
  if (std::holds_alternative<LevenbergMarquardt>(options.damping.rule)) {
    obstacle = "another damping than LevenbergMarquardt, such as StepLengthDamping";
  }
  if (obstacle == nullptr) return;
  throw OptionError(message("optimizer: .step = ", rule.needs().name, " goes with ", obstacle));
}

}  // namespace

bool l2_by_tensor(const NaturalGradient::Options& options) {
  const bool factors = std::any_of(options.l2_factors.begin(), options.l2_factors.end(),
                                   [](const SegmentFactor& f) { return f.factor != 1; });
  return options.l2 > 0 && (factors || options.damping.scaling != DampingScaling::identity);
}

StepRule with_rate(StepRule rule, double rate) {
  const auto set = [&](auto& options) {
    if constexpr (requires { options.max_rate; }) {
      options.max_rate = rate;
    } else {
      options.rate = rate;
    }
  };
  std::visit(set, rule);
  return rule;
}

Damping with_numbers(const Damping& options, Damping numbers) {
  if (std::holds_alternative<ConstantDamping>(numbers.rule)) numbers.rule = options.rule;
  if (numbers.rule.index() != options.rule.index()) {
    throw OptionError(
        "set_damping: .rule is another kind than that of the options, which lasts; leave it out to "
        "set the numbers");
  }
  return numbers;
}

void check_options(const NaturalGradient::Options& options, ElementType parameters) {
  OptionErrors errors("optimizer");
  check_damping(options.damping, errors);
  make_damping(options.damping, options.l2)->check(errors);
  const auto rule = make_step_rule(options.step);
  rule->check(errors);
  check_schedule(options.schedule, errors);
  errors.check_bound(".max_norm", options.max_norm);
  check_momentum(options.momentum, errors);
  check_factors(".rate_factors", options.rate_factors, errors);
  const double most = check_factors(".weight_decay_factors", options.weight_decay_factors, errors);
  const double decay = options.weight_decay;
  errors.check(".weight_decay", decay, decay >= 0 && !(decay * most * rule->rate() > 1),
               "finite, >= 0 and <= 1 / rate, with the largest decay factor");
  errors.check(".l2", options.l2, options.l2 >= 0, "finite and >= 0");
  check_factors(".l2_factors", options.l2_factors, errors);
  errors.check_enumerator(".structure", options.structure);
  errors.check_enumerator(".form", options.form);
  errors.check(".refinement", options.refinement,
               options.refinement >= 0 && options.refinement <= 1000, "0 to 1000");
  if (options.memory_budget) {
    errors.check(".memory_budget", static_cast<double>(*options.memory_budget),
                 *options.memory_budget > 0, "> 0 bytes, or left out for no limit");
  }
  errors.throw_if_any();
  check_gram_type("optimizer", options.gram_type, parameters);
  check_form("optimizer", options.structure, options.form);
  check_scaling("optimizer", options.structure, options.damping.scaling);
  check_l2_by_tensor(options);
  check_bend(options, *rule);
  const StepRuleStrategy::Needs needs = rule->needs();
  if (needs.full_matrix && options.structure != Structure::full) {
    throw OptionError(message(
        "optimizer: .step = ", needs.name, " goes with .structure = full: ", "d^T F d of a ",
        to_string(options.structure), " matrix is not that of the Fisher matrix; take FixedRate"));
  }
  if (rule->memory_name() != nullptr && !std::holds_alternative<NoMomentum>(options.momentum)) {
    throw OptionError(message("optimizer: .step = ", needs.name,
                              " chooses the momentum itself, goes with .momentum = NoMomentum"));
  }
  const bool units = options.damping.scaling != DampingScaling::identity || l2_by_tensor(options);
  if (rule->changes_step() && units) {
    throw OptionError(
        message("optimizer: .step = ", needs.name,
                " takes damping and penalty in one unit: .damping.scaling = identity, "
                "no .l2_factors"));
  }
}

void upload_rate(Backend& backend, double rate, const NaturalGradient::Options& options,
                 const LoopScalars& scalars) {
  const auto put = [&](double RateSettings::*name, double value) {
    backend.fill(value, scalar(scalars.settings, name));
  };
  put(&RateSettings::rate, rate);
  put(&RateSettings::decay, static_cast<double>(options.schedule.decay));
  put(&RateSettings::decay_steps, static_cast<double>(options.schedule.steps));
  put(&RateSettings::max_norm, options.max_norm);
  put(&RateSettings::weight_decay, options.weight_decay);
}

}  // namespace natgrad::detail
