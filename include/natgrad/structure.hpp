#pragma once

#include "natgrad/parameters.hpp"
#include "natgrad/types.hpp"

#include <vector>

namespace natgrad {

/// Parameters whose products a block-diagonal matrix keeps: every segment stands in exactly one
/// group, and no group is empty.
using ParameterGroups = std::vector<std::vector<Segment>>;

}  // namespace natgrad
