#pragma once

#include "natgrad/types.hpp"

namespace natgrad {

/// The damped matrix is F + lambda D, lambda = absolute + relative * trace(D^-1 F) / min(N, P).
/// With the default scaling D = I: lambda is in the units of F, and the second term's unit is the
/// mean of the eigenvalues that can be non-zero. Relative damping alone makes the step grow as
/// 1/|s| while an empirical maximum-likelihood fit improves, and fails on centred rows that no
/// longer vary: keep an absolute part there, which stays unless it is set to 0.
struct Damping {
  double absolute = 3e-2;  ///< finite, >= 0; in units of D
  double relative = 0;     ///< finite, >= 0
  /// The unit D, of each batch's own F. Scaled, lambda is a pure number: 0.03 is three percent of
  /// the mean diagonal element of F, of each tensor or each parameter, and trace(D^-1 F) is the
  /// number of parameters. A tensor, or a parameter, whose diagonal of F is 0 has no unit and gets
  /// no step. `tensor` goes with the structures full and block_diagonal, in both forms; `diagonal`
  /// with these in the primal form, which Form::automatic then takes, and in the dual form of rows
  /// without layers (`DenseScores`). Neither goes with centred rows. Residual and error bound are
  /// those of the system in the scaled parameters D^1/2 d.
  DampingScaling scaling = DampingScaling::identity;
};

}  // namespace natgrad
