#pragma once

#include "natgrad/export.hpp"
#include "natgrad/parameters.hpp"

#include <cstdint>
#include <vector>

namespace natgrad {

/// Which part of the Fisher matrix a solve takes for the whole.
enum class Structure : std::uint8_t {
  full,            ///< all of it
  block_diagonal,  ///< its blocks of parameter groups, each exact; products between groups are left
                   ///< out
  diagonal,        ///< its diagonal
};

NATGRAD_EXPORT const char* to_string(Structure structure);

/// Parameters whose products a block-diagonal matrix keeps: every segment stands in exactly one
/// group, and no group is empty.
using ParameterGroups = std::vector<std::vector<Segment>>;

}  // namespace natgrad
