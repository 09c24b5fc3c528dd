#pragma once

#include "optimizer/saved_state.hpp"

namespace natgrad {
class FirstOrder;
}

namespace natgrad::detail {

/// What a checkpoint needs of `FirstOrder` beyond its public interface.
struct FirstOrderAccess {
  /// Throws `ArgumentError` when the parameters have grown since the optimizer was made.
  static SavedState saved_state(const FirstOrder& optimizer);
};

}  // namespace natgrad::detail
