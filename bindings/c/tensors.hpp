#pragma once

#include "natgrad/array.hpp"
#include "natgrad/dlpack.h"

#include <array>
#include <initializer_list>
#include <memory>

// DLPack tensors as views, and what keeps them alive.

namespace natgrad::c {

/// Which axes of a tensor are the rows of its view.
enum class Rows {
  first_axis,       ///< (n, ...): the last axes together are the columns; (n) is n x 1
  all_but_columns,  ///< (..., d): the first axes together are the rows; (n) is n x 1
  every_axis        ///< (...): all axes together are the rows of one column
};

/// The view of a tensor's elements, strides and offset honoured. `name` is what errors call it.
/// Throws `ArgumentError` for null or a DLPack version other than 1, `TypeError` for elements other
/// than float32, float64 and int32, `DeviceError` for memory that neither the CPU nor a CUDA device
/// owns, and `ShapeError` for a layout that is no view with adjacent columns.
ConstView view_of(const char* name, const DLManagedTensorVersioned* tensor,
                  Rows rows = Rows::first_axis);
/// The same for writing. Throws `ArgumentError` for a read-only tensor, too.
View writable_view_of(const char* name, const DLManagedTensorVersioned* tensor,
                      Rows rows = Rows::first_axis);
/// The view of an operand that may be missing: empty for null.
ConstView optional_view_of(const char* name, const DLManagedTensorVersioned* tensor,
                           Rows rows = Rows::first_axis);

/// Tensors that a call is to take over; null ones are none. Once `take` was called they are freed
/// with this object, not before.
class TensorOwner {
 public:
  /// Throws `ArgumentError` where one tensor is given twice.
  TensorOwner(std::initializer_list<DLManagedTensorVersioned*> tensors);
  TensorOwner(const TensorOwner&) = delete;
  TensorOwner& operator=(const TensorOwner&) = delete;
  ~TensorOwner();
  void take() noexcept { taken_ = true; }

 private:
  static constexpr std::size_t most = 3;
  std::array<DLManagedTensorVersioned*, most> tensors_ = {};
  bool taken_ = false;
};

using SharedTensors = std::shared_ptr<TensorOwner>;

}  // namespace natgrad::c
