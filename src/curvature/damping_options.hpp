#pragma once

#include "core/option_errors.hpp"
#include "natgrad/damping.hpp"
#include "natgrad/structure.hpp"
#include "natgrad/types.hpp"

#include <optional>
#include <string_view>
#include <variant>

namespace natgrad::detail {

inline void check_damping(const Damping& damping, OptionErrors& errors) {
  errors.check(".damping.absolute", damping.absolute, damping.absolute >= 0, "finite and >= 0");
  errors.check(".damping.relative", damping.relative, damping.relative >= 0, "finite and >= 0");
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
