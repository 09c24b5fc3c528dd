#pragma once

#include "natgrad/context.hpp"
#include "trainer/settings.hpp"

#include <string>

namespace natgrad::trainer {

/// Returns in words the memory that a run with the natural gradient takes on its device: the
/// optimizer's plan of the largest batch, then a line for each thing that the task holds, and the
/// sum. Trains nothing.
std::string plan(const Settings& settings, const Context& context);

}  // namespace natgrad::trainer
