#pragma once

#include "bindings/c/structs.hpp"
#include "natgrad/natgrad.h"
#include "natgrad/natgrad.hpp"

#include <optional>
#include <vector>

// Options that the optimizer and Fisher matrices share.

namespace natgrad::c {

/// `options.damping` of either.
Damping damping_of(const natgrad_damping* damping);
StepRule step_rule_of(const natgrad_step_rule* rule);
/// The element type of K; -1: none is asked for.
std::optional<ElementType> gram_type_of(std::int32_t type);
/// Groups from the number of the group of every segment, 0, 1, ..., none left out. Throws
/// `ArgumentError` where there are not as many numbers as segments, or a group is empty.
ParameterGroups groups_of(const Parameters& parameters, const std::int32_t* groups,
                          std::int64_t count);
/// The report of a solve as the interface has it.
natgrad_solve_report report_of(const SolveReport& report);

}  // namespace natgrad::c
