#include "optimizer/options.hpp"

#include "core/option_errors.hpp"
#include "fisher/damping.hpp"

namespace natgrad::detail {

namespace {

void check_decay(double decay, OptionErrors& errors) {
  errors.check(".momentum decay", decay, decay >= 0 && decay < 1, ">= 0 and < 1");
}

}  // namespace

void check_options(const NaturalGradient::Options& options) {
  OptionErrors errors("optimizer");
  check_damping(options.damping, errors);
  const double rate = options.step.rate;
  errors.check(".step rate", rate, rate > 0, "finite and > 0");
  if (const auto* rule = std::get_if<HeavyBall>(&options.momentum))
    check_decay(rule->decay, errors);
  if (const auto* rule = std::get_if<Spring>(&options.momentum)) check_decay(rule->decay, errors);
  const double decay = options.weight_decay;
  errors.check(".weight_decay", decay, decay >= 0 && !(decay * rate > 1),
               "finite, >= 0 and <= 1 / rate");
  errors.throw_if_any();
}

}  // namespace natgrad::detail
