#pragma once

namespace natgrad {

/// lambda = absolute + relative * trace(S S^T) / min(N, P), in the units of F. The second term's
/// unit is the mean of the eigenvalues that can be non-zero. Relative damping alone makes the step
/// grow as 1/|s| while an empirical maximum-likelihood fit improves, and fails on centred rows that
/// no longer vary: keep an absolute part there, which stays unless it is set to 0.
struct Damping {
  double absolute = 3e-2;  ///< finite, >= 0
  double relative = 0;     ///< finite, >= 0
};

}  // namespace natgrad
