#pragma once

#include "core/option_errors.hpp"
#include "curvature/damping_units.hpp"
#include "natgrad/damping.hpp"
#include "natgrad/structure.hpp"
#include "natgrad/types.hpp"
#include "scores/score_set.hpp"

#include <optional>
#include <string_view>
#include <variant>

namespace natgrad::detail {

inline void check_damping(const Damping& damping, OptionErrors& errors) {
  errors.check(".damping.absolute", damping.absolute, damping.absolute >= 0, "finite and >= 0");
  errors.check(".damping.relative", damping.relative, damping.relative >= 0, "finite and >= 0");
  errors.check_enumerator(".damping.scaling", damping.scaling);
}

/// A damping that setters change keeps its units: memory is laid out for them.
inline void check_same_scaling(std::string_view owner, const Damping& damping,
                               const Damping& options) {
  if (damping.scaling == options.scaling) return;
  throw OptionError(message(owner, ": set_damping: .scaling = ", to_string(damping.scaling),
                            ", must be the options' ", to_string(options.scaling),
                            "; build another to change it"));
}

/// A diagonal damped in its own units is not damped: every step would be 1 / (1 + lambda).
inline void check_scaling(std::string_view owner, Structure structure, DampingScaling scaling) {
  if (structure != Structure::diagonal || scaling == DampingScaling::identity) return;
  throw OptionError(message(owner, ": .damping.scaling = ", to_string(scaling),
                            " goes with .structure = full and block_diagonal; a diagonal takes "
                            "DampingScaling::identity"));
}

/// Throws `OptionError` for rows whose damping cannot have these units. `form`: that was asked for.
inline void require_scalable(const char* caller, DampingScaling scaling, Form form,
                             const ScoreSet& rows) {
  if (scaling == DampingScaling::identity) return;
  if (rows.centering() != Centering::none) {
    throw OptionError(message(caller, ": .damping.scaling = ", to_string(scaling),
                              " does not go with centred rows; take DampingScaling::identity"));
  }
  if (scaling != DampingScaling::diagonal || form != Form::dual) return;
  if (without_layers(rows.blocks().blocks)) return;
  throw OptionError(message(caller,
                            ": .damping.scaling = diagonal in the dual form is of rows without "
                            "layers; take Form::primal, or DampingScaling::tensor"));
}

/// Of a matrix that takes no steps.
inline void require_constant_damping(std::string_view owner, const Damping& damping) {
  if (std::holds_alternative<ConstantDamping>(damping.rule)) return;
  throw OptionError(message(owner,
                            ": .damping.rule changes the damping from step to step, which "
                            "an optimizer does; here it is ConstantDamping"));
}

inline void check_gram_type(std::string_view owner, const std::optional<ElementType>& type,
                            ElementType parameters) {
  if (!type || *type == ElementType::float64 || *type == parameters) return;
  throw OptionError(message(owner, ": .gram_type = ", to_string(*type), ", must be float64 or the ",
                            "parameters' ", to_string(parameters)));
}

/// A diagonal keeps no rows.
inline void check_form(std::string_view owner, Structure structure, Form form) {
  if (structure != Structure::diagonal || form != Form::dual) return;
  throw OptionError(message(owner, ": .form = Form::dual goes with .structure = full and ",
                            "block_diagonal; a diagonal has no such form"));
}

}  // namespace natgrad::detail
