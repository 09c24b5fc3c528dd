#include "bindings/c/tensors.hpp"

#include "core/message.hpp"
#include "natgrad/error.hpp"

#include <algorithm>
#include <cstdint>
#include <string>

namespace natgrad::c {

namespace {

using detail::message;

/// "(2, 3)".
std::string numbers_text(const std::int64_t* numbers, std::int32_t count) {
  std::string text = "(";
  for (std::int32_t i = 0; i < count; ++i) text += message(i == 0 ? "" : ", ", numbers[i]);
  return text + ")";
}

std::string type_text(DLDataType type) {
  constexpr std::array names = {"int", "uint", "float", "opaque", "bfloat", "complex", "bool"};
  const std::string name =
      type.code < names.size() ? names[type.code] : message("code ", int{type.code}, " of ");
  return message(name, int{type.bits}, type.lanes == 1 ? "" : message("x", type.lanes));
}

ElementType element_type(const char* name, DLDataType type) {
  if (type.lanes == 1) {
    if (type.code == kDLFloat && type.bits == 32) return ElementType::float32;
    if (type.code == kDLFloat && type.bits == 64) return ElementType::float64;
    if (type.code == kDLInt && type.bits == 32) return ElementType::int32;
  }
  throw TypeError(
      message(name, ": elements are ", type_text(type), ", not float32, float64 or int32"));
}

Device device_of(const char* name, DLDevice device) {
  if (device.device_type == kDLCPU || device.device_type == kDLCUDAHost) return {};
  if (device.device_type == kDLCUDA) return {DeviceKind::cuda, device.device_id};
  throw DeviceError(message(name, ": memory is on a device of DLPack's type ",
                            static_cast<int>(device.device_type),
                            ", which is neither the CPU (1, 3) nor CUDA (2)"));
}

/// Adjacent axes as one.
struct Axis {
  std::int64_t size = 1;
  std::int64_t stride = 1;  ///< elements; of one element without meaning
};

/// A tensor's axes, whether its strides were given or not.
class Axes {
 public:
  Axes(const char* name, const DLTensor& tensor) : name_(name), tensor_(tensor) {
    if (tensor.ndim < 0) throw ShapeError(message(name, ": ndim is ", tensor.ndim));
    if (tensor.ndim > 0 && tensor.shape == nullptr) {
      throw ArgumentError(message(name, ": shape is null"));
    }
    for (std::int32_t i = 0; i < tensor.ndim; ++i) {
      if (tensor.shape[i] < 0) {
        throw ShapeError(message(name, ": shape ", numbers_text(tensor.shape, tensor.ndim)));
      }
    }
  }

  /// Axes [first, last) as one. Throws `ShapeError` where no stride leads through them.
  Axis merged(std::int32_t first, std::int32_t last) const {
    Axis all;
    for (std::int32_t i = last - 1; i >= first; --i) {
      const std::int64_t size = tensor_.shape[i];
      if (size == 1) continue;
      if (all.size == 1) {
        all = {size, stride(i)};
        continue;
      }
      if (all.size > 0 && size > 0 && stride(i) != all.size * all.stride) refuse();
      if (__builtin_mul_overflow(all.size, size, &all.size)) refuse();
    }
    return all;
  }

  [[noreturn]] void refuse() const {
    std::string text = message(name_, ": shape ", numbers_text(tensor_.shape, tensor_.ndim));
    if (tensor_.strides != nullptr) {
      text += message(" with strides ", numbers_text(tensor_.strides, tensor_.ndim));
    }
    throw ShapeError(text + " would need a copy: rows must have one stride, columns be adjacent");
  }

 private:
  std::int64_t stride(std::int32_t axis) const {
    if (tensor_.strides != nullptr) return tensor_.strides[axis];
    std::int64_t elements = 1;
    for (std::int32_t i = axis + 1; i < tensor_.ndim; ++i) {
      if (__builtin_mul_overflow(elements, tensor_.shape[i], &elements)) refuse();
    }
    return elements;
  }

  const char* name_;
  const DLTensor& tensor_;
};

}  // namespace

View writable_view_of(const char* name, const DLManagedTensorVersioned* tensor, Rows rows) {
  if (tensor != nullptr && (tensor->flags & DLPACK_FLAG_BITMASK_READ_ONLY) != 0) {
    throw ArgumentError(message(name, ": the tensor is read-only"));
  }
  const ConstView view = view_of(name, tensor, rows);
  return {const_cast<void*>(view.data()),  // NOLINT(cppcoreguidelines-pro-type-const-cast)
          view.type(),
          view.shape(),
          {view.leading_dimension(), view.device()}};
}

ConstView view_of(const char* name, const DLManagedTensorVersioned* tensor, Rows rows) {
  if (tensor == nullptr) throw ArgumentError(message(name, " is null"));
  if (tensor->version.major != DLPACK_MAJOR_VERSION) {
    throw ArgumentError(message(name, ": DLPack version ", tensor->version.major, ".",
                                tensor->version.minor, ", not ", DLPACK_MAJOR_VERSION, ".x"));
  }
  const DLTensor& array = tensor->dl_tensor;
  const ElementType type = element_type(name, array.dtype);
  const Device device = device_of(name, array.device);
  if (array.data == nullptr) throw ArgumentError(message(name, ": data is null"));
  const Axes axes(name, array);
  std::int32_t split = rows == Rows::first_axis ? 1 : array.ndim - 1;
  if (array.ndim <= 1 || rows == Rows::every_axis) split = array.ndim;
  const Axis row = axes.merged(0, split);
  const Axis column = axes.merged(split, array.ndim);
  if (column.size > 1 && column.stride != 1) axes.refuse();
  if (row.size > 1 && row.stride < std::max<std::int64_t>(column.size, 1)) axes.refuse();
  const std::int64_t leading = row.size > 1 ? row.stride : column.size;
  return {static_cast<const std::byte*>(array.data) + array.byte_offset,
          type,
          {row.size, column.size},
          {leading, device}};
}

ConstView optional_view_of(const char* name, const DLManagedTensorVersioned* tensor, Rows rows) {
  return tensor == nullptr ? ConstView() : view_of(name, tensor, rows);
}

TensorOwner::TensorOwner(std::initializer_list<DLManagedTensorVersioned*> tensors) {
  std::size_t count = 0;
  for (DLManagedTensorVersioned* tensor : tensors) {
    if (tensor == nullptr) continue;
    if (std::find(tensors_.begin(), tensors_.end(), tensor) != tensors_.end()) {
      throw ArgumentError("one tensor is given for two operands: each is freed once");
    }
    tensors_.at(count++) = tensor;
  }
}

TensorOwner::~TensorOwner() {
  if (!taken_) return;
  for (DLManagedTensorVersioned* tensor : tensors_) {
    if (tensor != nullptr && tensor->deleter != nullptr) tensor->deleter(tensor);
  }
}

}  // namespace natgrad::c
