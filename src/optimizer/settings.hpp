#pragma once

#include "curvature/curvature.hpp"
#include "natgrad/natural_gradient.hpp"
#include "optimizer/loop_scalars.hpp"

namespace natgrad::detail {

/// Throws one `OptionError` that names every option that is wrong.
void check_options(const NaturalGradient::Options& options, ElementType parameters);

/// The rate before any schedule: of a fixed rate, or the largest of a KL trust region.
double rate_of(const StepRule& rule);
/// The same rule with another such rate.
StepRule with_rate(StepRule rule, double rate);

/// Writes rate, schedule, `max_norm` and weight decay to `scalars.settings`. Does not wait.
void upload_rate(Backend& backend, const NaturalGradient::Options& options,
                 const LoopScalars& scalars);

}  // namespace natgrad::detail
