#pragma once

#include "kernels/cuda/launch.hpp"

namespace natgrad::kernels {

/// Counts a drawing. Launched after it, because every thread of the drawing reads the counter.
struct CountDrawing {
  static constexpr bool synchronizes = false;
  double* counter;
  NATGRAD_DEVICE void operator()(const Thread&) const { *counter += 1; }
};

}  // namespace natgrad::kernels
