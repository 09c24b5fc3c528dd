#include "optimizer/options.hpp"

#include "core/option_errors.hpp"
#include "fisher/damping.hpp"

#include <algorithm>

namespace natgrad::detail {

namespace {

void check_decay(double decay, OptionErrors& errors) {
  errors.check(".momentum decay", decay, decay >= 0 && decay < 1, ">= 0 and < 1");
}

double check_rule(const StepRule& step, OptionErrors& errors) {
  if (const auto* ball = std::get_if<KlTrustRegion>(&step)) {
    errors.check(".step radius", ball->radius, ball->radius > 0, "finite and > 0");
    errors.check(".step max_rate", ball->max_rate, ball->max_rate > 0, "finite and > 0");
    return ball->max_rate;
  }
  const double rate = std::get<FixedRate>(step).rate;
  errors.check(".step rate", rate, rate > 0, "finite and > 0");
  return rate;
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

}  // namespace

void check_options(const NaturalGradient::Options& options, ElementType parameters) {
  OptionErrors errors("optimizer");
  check_damping(options.damping, errors);
  const double rate = check_rule(options.step, errors);
  const RateSchedule& schedule = options.schedule;
  errors.check(".schedule steps", static_cast<double>(schedule.steps),
               schedule.decay == RateDecay::none || schedule.steps > 0, "> 0");
  errors.check_bound(".max_norm", options.max_norm);
  if (const auto* rule = std::get_if<HeavyBall>(&options.momentum))
    check_decay(rule->decay, errors);
  if (const auto* rule = std::get_if<Spring>(&options.momentum)) check_decay(rule->decay, errors);
  check_factors(".rate_factors", options.rate_factors, errors);
  const double most = check_factors(".weight_decay_factors", options.weight_decay_factors, errors);
  const double decay = options.weight_decay;
  errors.check(".weight_decay", decay, decay >= 0 && !(decay * most * rate > 1),
               "finite, >= 0 and <= 1 / rate, with the largest decay factor");
  errors.check(".l2", options.l2, options.l2 >= 0, "finite and >= 0");
  errors.check(".refinement", options.refinement,
               options.refinement >= 0 && options.refinement <= 1000, "0 to 1000");
  if (options.memory_budget) {
    errors.check(".memory_budget", static_cast<double>(*options.memory_budget),
                 *options.memory_budget > 0, "> 0 bytes, or left out for no limit");
  }
  errors.throw_if_any();
  check_gram_type("optimizer", options.gram_type, parameters);
}

}  // namespace natgrad::detail
