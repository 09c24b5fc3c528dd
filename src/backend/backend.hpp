#pragma once

#include "backend/arrays.hpp"
#include "backend/blas.hpp"
#include "backend/densities.hpp"
#include "backend/fields.hpp"
#include "backend/models.hpp"
#include "backend/rows.hpp"
#include "backend/spins.hpp"
#include "backend/step.hpp"
#include "backend/types.hpp"
#include "natgrad/array.hpp"
#include "natgrad/types.hpp"

#include <cstdint>
#include <memory>
#include <vector>

namespace natgrad {

/// The backend interface: the array operations that the library is written on, in groups, over
/// views on one device. Work is ordered as called; only `synchronize`, `upload` and `download` wait
/// for it. Operands were validated by the caller: shapes fit, and types are the ones named.
/// Matrices are row-major and may be strided; vectors are contiguous unless said. One-element
/// results are float64. The same operands give the same bits with the same number of threads.
///
/// A new operation enters with its reference in tests/support/reference_backend* and its cases in
/// tests/backend/operations_*.cpp; the suite fails while a case is missing.
class Backend : public ArrayOperations,
                public BlasOperations,
                public RowOperations,
                public ModelOperations,
                public DensityOperations,
                public FieldOperations,
                public SpinOperations,
                public StepOperations {
 public:
  /// The CUDA stream that work is enqueued on; null on the CPU.
  virtual void* stream() const { return nullptr; }
  /// Enqueues work on another stream from now on, behind that of the stream before; nothing to do
  /// on the CPU. Does not wait. Throws `DeviceError`, or `ArgumentError` while either is captured.
  virtual void set_stream(void*) {}
  /// Whether `MathMode::tf32` is another arithmetic than `strict` here.
  virtual bool has_tf32() const { return false; }
  MathMode math_mode(bool allow_tf32) const {
    return allow_tf32 && has_tf32() ? MathMode::tf32 : MathMode::strict;
  }
  /// Memory that enqueued work writes and the host reads without a call, for reports of steps; null
  /// where all of the backend's memory is such.
  virtual std::shared_ptr<const Allocator> visible_memory() const { return nullptr; }

  /// Takes over owners of memory that work enqueued so far may read, and lets go of them once that
  /// has run; `owners` is empty then. Does not wait. Throws `std::bad_alloc` or `DeviceError`, with
  /// `owners` as it was.
  virtual void release_after_work(std::vector<Owner>& owners) { owners.clear(); }
  /// Lets go of those whose work has run. Does not wait, and throws nothing.
  virtual void release_finished() noexcept {}
};

}  // namespace natgrad
