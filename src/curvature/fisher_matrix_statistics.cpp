// What statistics asks of a Fisher matrix: eigenvalues, variances, least-norm solutions.

#include "core/context_owners.hpp"
#include "core/memory_errors.hpp"
#include "core/message.hpp"
#include "core/operands.hpp"
#include "curvature/fisher_matrix_state.hpp"
#include "natgrad/error.hpp"
#include "natgrad/fisher_matrix.hpp"

#include <cmath>

namespace natgrad {

using detail::message;
using detail::with_memory_errors;

Spectrum FisherMatrix::spectrum() const {
  return with_memory_errors([&] {
    State& s = *state_;
    s.require_rows("spectrum");
    s.lay_out({});
    return s.decompose().spectrum(s.size);
  });
}

Outcome FisherMatrix::inverse_diagonal(const View& diagonal) {
  return with_memory_errors([&] {
    State& s = *state_;
    s.require_rows("inverse diagonal");
    if (s.options.damping.scaling != DampingScaling::identity) {
      throw ArgumentError(
          "inverse diagonal: is that of F + lambda I, so that .damping needs "
          "DampingScaling::identity");
    }
    detail::require_contiguous("inverse diagonal", diagonal, s.memory());
    if (diagonal.type() != ElementType::float64) {
      detail::require_type("inverse diagonal", diagonal, s.parameters.type());
    }
    detail::require_shape("inverse diagonal", diagonal, {s.size, 1});
    s.lay_out({.gradient_given = true, .inverts = true});
    const Array result = s.parameters.context().array({s.size, 1}, ElementType::float64);
    const Outcome outcome = s.curvature->inverse_diagonal(s.damping(), s.eigensystem, result);
    return s.hand_out(outcome, result, diagonal);
  });
}

Outcome FisherMatrix::least_norm(const Gradient& gradient, double tolerance,
                                 const View& direction) const {
  return with_memory_errors([&] {
    State& s = *state_;
    s.require_rows("least norm");
    s.require_numbers("least norm: direction", direction);
    s.require_numbers("least norm: gradient", gradient.view);
    s.require_scale("least norm", gradient);
    const detail::HeldOwners held(s.parameters.context(), gradient.owner);
    if (!(tolerance >= 0)) {
      throw OptionError(message("least norm: tolerance = ", tolerance, ", must be >= 0"));
    }
    s.lay_out({});
    const detail::Eigensystem& system = s.decompose();
    const Outcome outcome = system.common_outcome();
    if (outcome != Outcome::accepted) return outcome;
    const Context& context = s.parameters.context();
    const Array g = context.array({s.size, 1}, ElementType::float64);
    const Array d = context.array({s.size, 1}, ElementType::float64);
    s.backend.axpby(gradient.scale, gradient.view, 0.0, g);
    s.curvature->fisher().pseudo_inverse(context, system, tolerance * system.largest(), g, d);
    return s.hand_out(outcome, d, direction);
  });
}

}  // namespace natgrad
