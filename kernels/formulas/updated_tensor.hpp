#pragma once

#include "natgrad/array.hpp"

namespace natgrad {

/// A tensor that an update moves by numbers of its shape and type, and its share of the shrinking.
struct UpdatedTensor {
  View theta;
  ConstView d;
  double decay = 1;
};

}  // namespace natgrad
