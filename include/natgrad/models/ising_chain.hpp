#pragma once

#include "natgrad/export.hpp"

#include <cstdint>

namespace natgrad {

/// The transverse-field Ising chain of n spins 1/2, periodic,
///
///     H = -J sum_i sz_i sz_i+1 - h sum_i sx_i,
///
/// in the basis of sz: spins s_i = +-1. Where h > 0 its ground state has positive amplitudes.
struct IsingChain {
  double coupling = 1;  ///< J, finite, > 0
  double field = 1;     ///< h, finite, >= 0
};

/// The energy of the ground state, by free fermions (Pfeuty 1970): -sum_k sqrt(J^2 + h^2 - 2 J h
/// cos k) over k = (2m + 1) pi / n. Throws `OptionError` for a chain of fewer than 2 sites and for
/// J or h out of range.
NATGRAD_EXPORT double ground_state_energy(const IsingChain& chain, std::int64_t sites);

}  // namespace natgrad
