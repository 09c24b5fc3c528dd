#pragma once

#include "curvature/curvature.hpp"
#include "natgrad/natural_gradient.hpp"
#include "optimizer/loop_scalars.hpp"

namespace natgrad::detail {

/// Throws one `OptionError` that names every option that is wrong.
void check_options(const NaturalGradient::Options& options, ElementType parameters);

/// The rate before any schedule: the fixed one, or the largest. The options with another one.
double rate_of(const StepRule& rule);
StepRule with_rate(StepRule rule, double rate);

/// Enqueues the settings of the rate.
void upload_rate(Backend& backend, const NaturalGradient::Options& options,
                 const LoopScalars& scalars);

}  // namespace natgrad::detail
