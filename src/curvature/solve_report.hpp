#pragma once

#include "kernels/formulas/solve.hpp"
#include "natgrad/fisher_matrix.hpp"

namespace natgrad::detail {

/// What the scalars say of a solve.
inline SolveReport solve_report(const SolveScalars& s, Structure structure, Form form) {
  return {.outcome = static_cast<Outcome>(static_cast<int>(s.outcome)),
          .structure = structure,
          .form = form,
          .damping = s.damping,
          .residual = s.residual,
          .error_bound = s.error_bound,
          .quadratic_form = s.quadratic_form};
}

}  // namespace natgrad::detail
