#pragma once

#include "curvature/curvature.hpp"
#include "natgrad/natural_gradient.hpp"
#include "optimizer/loop_scalars.hpp"

namespace natgrad::detail {

/// Throws one `OptionError` that names every option that is wrong.
void check_options(const NaturalGradient::Options& options, ElementType parameters);

/// Whether the penalty is no part of the shift lambda: it has factors, or the damping has units.
bool l2_by_tensor(const NaturalGradient::Options& options);

/// The options of a rule with another rate before any schedule.
StepRule with_rate(StepRule rule, double rate);

/// Damping of the options with the numbers of another: its rule may be constant, which leaves that
/// of the options, or one of the same kind. Throws `OptionError`.
Damping with_numbers(const Damping& options, Damping numbers);

/// Writes rate, schedule, `max_norm` and weight decay to `scalars.settings`. Does not wait.
void upload_rate(Backend& backend, double rate, const NaturalGradient::Options& options,
                 const LoopScalars& scalars);

}  // namespace natgrad::detail
