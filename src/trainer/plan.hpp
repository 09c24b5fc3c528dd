#pragma once

#include "natgrad/context.hpp"
#include "trainer/data/dataset.hpp"
#include "trainer/options.hpp"

#include <string>

namespace natgrad::trainer {

/// The memory that a run with the natural gradient takes on its device: the optimizer's plan of the
/// largest batch, then a line for the net and one for the data. Trains nothing.
std::string plan(const Options& options, const io::Dataset& data, const Context& context);

}  // namespace natgrad::trainer
