#include "bindings/c/options.hpp"

#include "bindings/c/status.hpp"

#include <algorithm>

namespace natgrad::c {

namespace {

using detail::message;

template <class Enum>
constexpr bool is(Enum value, std::int32_t number) {
  return static_cast<std::int32_t>(value) == number;
}
static_assert(is(ElementType::int32, NATGRAD_INT32) && is(ElementType::float32, NATGRAD_FLOAT32) &&
              is(ElementType::float64, NATGRAD_FLOAT64));
static_assert(is(DeviceKind::cpu, NATGRAD_CPU) && is(DeviceKind::cuda, NATGRAD_CUDA));
static_assert(is(FisherKind::empirical, NATGRAD_EMPIRICAL) &&
              is(FisherKind::sampled, NATGRAD_SAMPLED) && is(FisherKind::exact, NATGRAD_EXACT) &&
              is(FisherKind::residual, NATGRAD_RESIDUAL));
static_assert(is(Centering::none, NATGRAD_CENTERING_NONE) &&
              is(Centering::rows, NATGRAD_CENTERING_ROWS) &&
              is(Centering::fisher_only, NATGRAD_CENTERING_FISHER_ONLY));
static_assert(is(Bias::every_term, NATGRAD_BIAS_EVERY_TERM) &&
              is(Bias::first_term, NATGRAD_BIAS_FIRST_TERM));
static_assert(is(DampingScaling::identity, NATGRAD_SCALING_IDENTITY) &&
              is(DampingScaling::tensor, NATGRAD_SCALING_TENSOR) &&
              is(DampingScaling::diagonal, NATGRAD_SCALING_DIAGONAL));
static_assert(is(Outcome::accepted, NATGRAD_ACCEPTED) && is(Outcome::rejected, NATGRAD_REJECTED) &&
              is(Outcome::not_finite, NATGRAD_NOT_FINITE) &&
              is(Outcome::not_positive_definite, NATGRAD_NOT_POSITIVE_DEFINITE));
static_assert(is(Form::automatic, NATGRAD_FORM_AUTOMATIC) &&
              is(Form::primal, NATGRAD_FORM_PRIMAL) && is(Form::dual, NATGRAD_FORM_DUAL));
static_assert(is(Structure::full, NATGRAD_STRUCTURE_FULL) &&
              is(Structure::block_diagonal, NATGRAD_STRUCTURE_BLOCK_DIAGONAL) &&
              is(Structure::diagonal, NATGRAD_STRUCTURE_DIAGONAL));
static_assert(is(RateDecay::none, NATGRAD_DECAY_NONE) &&
              is(RateDecay::linear, NATGRAD_DECAY_LINEAR) &&
              is(RateDecay::cosine, NATGRAD_DECAY_COSINE));
static_assert(is(NotFinite::nothing, NATGRAD_IN_NOTHING) && is(NotFinite::rows, NATGRAD_IN_ROWS) &&
              is(NotFinite::coefficients, NATGRAD_IN_COEFFICIENTS) &&
              is(NotFinite::gradient, NATGRAD_IN_GRADIENT) &&
              is(NotFinite::solution, NATGRAD_IN_SOLUTION) &&
              is(NotFinite::parameters, NATGRAD_IN_PARAMETERS) &&
              is(NotFinite::loss, NATGRAD_IN_LOSS));
static_assert(is(ScoresShape::Source::rows, NATGRAD_GRADIENT_ROWS) &&
              is(ScoresShape::Source::numbers, NATGRAD_GRADIENT_NUMBERS) &&
              is(ScoresShape::Source::other_rows, NATGRAD_GRADIENT_OTHER_ROWS));

natgrad_damping damping_defaults(std::int32_t rule) {
  const Damping damping;
  natgrad_damping defaults = {};
  defaults.size = sizeof defaults;
  defaults.absolute = damping.absolute;
  defaults.relative = damping.relative;
  defaults.scaling = static_cast<std::int32_t>(damping.scaling);
  defaults.rule = rule;
  if (rule == NATGRAD_DAMPING_SCHEDULE) {
    const DampingSchedule schedule;
    defaults.factor = schedule.factor;
    defaults.floor = schedule.floor;
  } else if (rule == NATGRAD_DAMPING_LEVENBERG_MARQUARDT) {
    const LevenbergMarquardt levenberg;
    defaults.factor = levenberg.factor;
    defaults.smallest = levenberg.smallest;
    defaults.largest = levenberg.largest;
  } else if (rule != NATGRAD_DAMPING_CONSTANT) {
    throw OptionError(message("damping: ", rule, " is no rule"));
  }
  return defaults;
}

natgrad_step_rule step_rule_defaults(std::int32_t which) {
  natgrad_step_rule defaults = {};
  defaults.size = sizeof defaults;
  defaults.rule = which;
  switch (which) {
    case NATGRAD_STEP_FIXED_RATE:
      defaults.rate = FixedRate().rate;
      break;
    case NATGRAD_STEP_KL_TRUST_REGION: {
      const KlTrustRegion region;
      defaults.radius = region.radius;
      defaults.max_rate = region.max_rate;
      defaults.trials = region.trials;
      defaults.shrink = region.shrink;
      break;
    }
    case NATGRAD_STEP_BACKTRACKING: {
      const Backtracking search;
      defaults.rate = search.rate;
      defaults.shrink = search.shrink;
      defaults.trials = search.trials;
      defaults.sufficient_decrease = search.sufficient_decrease;
      break;
    }
    case NATGRAD_STEP_QUADRATIC_MODEL:
      defaults.rate = QuadraticModel().rate;
      break;
    default:
      throw OptionError(message("step rule: ", which, " is no rule"));
  }
  return defaults;
}

/// The rules take an int; what does not fit is out of their range, which 64 ends.
int trials_of(std::int64_t trials) {
  constexpr std::int64_t beyond = 1'000'000;
  return static_cast<int>(std::clamp(trials, -beyond, beyond));
}

}  // namespace

Damping damping_of(const natgrad_damping* damping) {
  // Of a smaller struct what is missing is its own rule's.
  const auto first = read_struct("damping", damping, damping_defaults(NATGRAD_DAMPING_CONSTANT));
  const auto given = read_struct("damping", damping, damping_defaults(first.rule));
  require_reserved("damping", given.reserved);
  Damping result = {.absolute = given.absolute,
                    .relative = given.relative,
                    .scaling = enumerator<DampingScaling>("damping: scaling", given.scaling)};
  if (given.rule == NATGRAD_DAMPING_SCHEDULE) {
    result.rule = DampingSchedule{.factor = given.factor, .floor = given.floor};
  } else if (given.rule == NATGRAD_DAMPING_LEVENBERG_MARQUARDT) {
    result.rule = LevenbergMarquardt{.factor = given.factor,
                                     .smallest = given.smallest,
                                     .largest = given.largest,
                                     .allow_empirical = given.allow_empirical != 0};
  }
  return result;
}

StepRule step_rule_of(const natgrad_step_rule* rule) {
  const auto first = read_struct("step rule", rule, step_rule_defaults(NATGRAD_STEP_FIXED_RATE));
  const auto given = read_struct("step rule", rule, step_rule_defaults(first.rule));
  const bool allow_empirical = given.allow_empirical != 0;
  const int trials = trials_of(given.trials);
  switch (given.rule) {
    case NATGRAD_STEP_KL_TRUST_REGION:
      return KlTrustRegion{.radius = given.radius,
                           .max_rate = given.max_rate,
                           .allow_empirical = allow_empirical,
                           .trials = trials,
                           .shrink = given.shrink};
    case NATGRAD_STEP_BACKTRACKING:
      return Backtracking{.rate = given.rate,
                          .shrink = given.shrink,
                          .trials = trials,
                          .sufficient_decrease = given.sufficient_decrease};
    case NATGRAD_STEP_QUADRATIC_MODEL:
      return QuadraticModel{.rate = given.rate, .allow_empirical = allow_empirical};
    default:
      return FixedRate{.rate = given.rate};
  }
}

std::optional<ElementType> gram_type_of(std::int32_t type) {
  if (type == -1) return {};
  return enumerator<ElementType>("gram_type", type);
}

ParameterGroups groups_of(const Parameters& parameters, const std::int32_t* groups,
                          std::int64_t count) {
  if (groups == nullptr) {
    if (count == 0) return {};
    throw ArgumentError(message("groups is null, group_count is ", count));
  }
  if (count != parameters.segments()) {
    throw ArgumentError(
        message("groups: ", count, " numbers for ", parameters.segments(), " segments"));
  }
  ParameterGroups result;
  for (std::int32_t segment = 0; segment < parameters.segments(); ++segment) {
    const std::int32_t group = groups[segment];
    if (group < 0 || group >= count) {
      throw ArgumentError(message("groups: group ", group, " of segment ", segment,
                                  ": they are counted from 0 and none is empty"));
    }
    const auto index = static_cast<std::size_t>(group);
    if (index >= result.size()) result.resize(index + 1);
    result[index].push_back({segment});
  }
  return result;
}

natgrad_solve_report report_of(const SolveReport& report) {
  natgrad_solve_report result = {};
  result.outcome = static_cast<std::int32_t>(report.outcome);
  result.structure = static_cast<std::int32_t>(report.structure);
  result.form = static_cast<std::int32_t>(report.form);
  result.damping = report.damping;
  result.residual = report.residual;
  result.error_bound = report.error_bound;
  result.quadratic_form = report.quadratic_form;
  return result;
}

}  // namespace natgrad::c

using namespace natgrad::c;  // NOLINT(google-build-using-namespace): the interface's own functions

natgrad_status natgrad_damping_init(natgrad_damping* damping, size_t size, int32_t rule) {
  return guarded([&] { write_struct("damping", damping, size, damping_defaults(rule)); });
}

natgrad_status natgrad_step_rule_init(natgrad_step_rule* rule, size_t size, int32_t which) {
  return guarded([&] { write_struct("step rule", rule, size, step_rule_defaults(which)); });
}
