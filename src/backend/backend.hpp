#pragma once

#include "backend/blas.hpp"
#include "backend/models.hpp"
#include "backend/rows.hpp"
#include "backend/step.hpp"
#include "backend/types.hpp"
#include "natgrad/array.hpp"
#include "natgrad/types.hpp"

#include <cstdint>
#include <memory>

namespace natgrad {

/// The seam: the array operations that the library is written on, over views on one device, ordered
/// as called. Operands were validated above the seam: shapes fit, types are the ones named here.
/// T is float or double, the same for all operands of a call unless said. Matrices are row-major;
/// vectors are contiguous unless said. One-element results are float64. The same operands give the
/// same bits with the same number of threads.
///
/// Every operation has a naive twin in tests/support and a case in the operation table.
class Backend : public BlasOperations,
                public RowOperations,
                public ModelOperations,
                public StepOperations {
 public:
  /// The CUDA stream that work is ordered on, null on the CPU.
  virtual void* stream() const { return nullptr; }
  /// Whether `MathMode::tf32` is another arithmetic than `strict` here.
  virtual bool has_tf32() const { return false; }
  MathMode math_mode(bool allow_tf32) const {
    return allow_tf32 && has_tf32() ? MathMode::tf32 : MathMode::strict;
  }
  /// Where arrays lie that queued work writes and the host reads without a call; null: where all
  /// others lie.
  virtual std::shared_ptr<const Allocator> visible_memory() const { return nullptr; }
};

}  // namespace natgrad
