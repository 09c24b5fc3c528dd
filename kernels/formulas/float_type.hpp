#pragma once

#include "natgrad/types.hpp"

namespace natgrad {

/// Calls body(T{}) with the float type that `type` names.
template <class Body>
void with_float_type(ElementType type, const Body& body) {
  if (type == ElementType::float64)
    body(double{});
  else
    body(float{});
}

}  // namespace natgrad
