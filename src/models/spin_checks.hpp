#pragma once

#include "natgrad/models/ising_chain.hpp"

namespace natgrad::detail {

/// Throws `OptionError` naming what is out of range.
void check_chain(const IsingChain& chain);

}  // namespace natgrad::detail
