#pragma once

#include "natgrad/first_order.hpp"
#include "optimizer/optimizer_state.hpp"

namespace natgrad::detail {

/// Reaches what a checkpoint holds of a `FirstOrder`: its moving averages and step counter.
struct FirstOrderAccess {
  static OptimizerState state(const FirstOrder& optimizer);
};

}  // namespace natgrad::detail
