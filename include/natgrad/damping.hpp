#pragma once

namespace natgrad {

/// lambda = absolute + relative * trace(S S^T) / min(N, P), in the units of F. The second term's
/// unit is the mean of the eigenvalues that can be non-zero. Relative damping alone makes the step
/// grow as 1/|s| while an empirical maximum-likelihood fit improves: keep an absolute part there.
struct Damping {
  double absolute = 1e-3;  ///< finite, >= 0
  double relative = 0;     ///< finite, >= 0
};

}  // namespace natgrad
