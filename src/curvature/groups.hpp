#pragma once

#include "natgrad/parameters.hpp"
#include "natgrad/structure.hpp"

#include <cstddef>
#include <span>
#include <vector>

namespace natgrad::detail {

/// The tensors of each group by their places in `active`, which frozen ones have none in; groups of
/// frozen tensors alone are left out. Empty without groups. Throws `OptionError` for groups of
/// another structure than block_diagonal and `ArgumentError` for a group that is empty, a segment
/// that does not exist, stands in two groups or in none; `owner` begins the text.
std::vector<std::vector<std::size_t>> active_groups(const char* owner, Structure structure,
                                                    const ParameterGroups& groups,
                                                    const Parameters& parameters,
                                                    std::span<const Segment> active);

}  // namespace natgrad::detail
