#include "bindings/c/handles.hpp"
#include "bindings/c/status.hpp"
#include "bindings/c/structs.hpp"

#include <array>
#include <memory>
#include <utility>

// Tensors that the library makes itself, so that a program needs no DLPack code of its own.

namespace natgrad::c {

namespace {

/// A tensor with its shape, and the array where it has one: the tensor is the first member, which
/// the deleter is called with.
struct OwnTensor {
  DLManagedTensorVersioned tensor = {};
  std::array<std::int64_t, 2> shape = {};
  std::array<std::int64_t, 2> strides = {};
  std::shared_ptr<const Array> array;
};

void free_own_tensor(DLManagedTensorVersioned* tensor) {
  delete static_cast<OwnTensor*>(tensor->manager_ctx);
}

DLManagedTensorVersioned* own_tensor(const View& view, std::shared_ptr<const Array> array) {
  auto own = std::make_unique<OwnTensor>();
  own->shape = {view.rows(), view.columns()};
  own->strides = {view.leading_dimension(), 1};
  own->array = std::move(array);
  DLTensor& tensor = own->tensor.dl_tensor;
  tensor.data = view.data();
  tensor.device = view.device().kind == DeviceKind::cuda ? DLDevice{kDLCUDA, view.device().index}
                                                         : DLDevice{kDLCPU, 0};
  tensor.ndim = 2;
  constexpr int bits_of_a_byte = 8;
  tensor.dtype = {static_cast<std::uint8_t>(view.type() == ElementType::int32 ? kDLInt : kDLFloat),
                  static_cast<std::uint8_t>(bits_of_a_byte * size_of(view.type())), 1};
  tensor.shape = own->shape.data();
  tensor.strides = own->strides.data();
  own->tensor.version = {DLPACK_MAJOR_VERSION, DLPACK_MINOR_VERSION};
  own->tensor.manager_ctx = own.get();
  own->tensor.deleter = free_own_tensor;
  return &own.release()->tensor;
}

}  // namespace

}  // namespace natgrad::c

using namespace natgrad::c;  // NOLINT(google-build-using-namespace): the interface's own functions

natgrad_status natgrad_tensor_new(const natgrad_context* context, int64_t rows, int64_t columns,
                                  int32_t type, DLManagedTensorVersioned** tensor) {
  return guarded([&] {
    const natgrad::Context& device = required("context", context).value;
    DLManagedTensorVersioned*& result = required("tensor", tensor);
    auto array = std::make_shared<const natgrad::Array>(
        device.array({rows, columns}, enumerator<natgrad::ElementType>("type", type)));
    const natgrad::View view = array->view();
    result = own_tensor(view, std::move(array));
  });
}

natgrad_status natgrad_tensor_view(void* data, int32_t type, int64_t rows, int64_t columns,
                                   int64_t leading_dimension, int32_t device_kind,
                                   int32_t device_index, DLManagedTensorVersioned** tensor) {
  return guarded([&] {
    DLManagedTensorVersioned*& result = required("tensor", tensor);
    if (device_kind != NATGRAD_CPU && device_kind != NATGRAD_CUDA) {
      throw natgrad::DeviceError(
          natgrad::detail::message("tensor: ", device_kind, " is no kind of device"));
    }
    const natgrad::Device device = {static_cast<natgrad::DeviceKind>(device_kind), device_index};
    result = own_tensor({data,
                         enumerator<natgrad::ElementType>("type", type),
                         {rows, columns},
                         {leading_dimension, device}},
                        nullptr);
  });
}

natgrad_status natgrad_tensor_share(const DLManagedTensorVersioned* tensor,
                                    DLManagedTensorVersioned** other) {
  return guarded([&] {
    const DLManagedTensorVersioned& given = required("tensor", tensor);
    DLManagedTensorVersioned*& result = required("other", other);
    if (given.deleter != free_own_tensor) {
      throw natgrad::ArgumentError("tensor: it was not made by natgrad_tensor_new or _view");
    }
    result = own_tensor(writable_view_of("tensor", tensor),
                        static_cast<const OwnTensor*>(given.manager_ctx)->array);
  });
}

void* natgrad_tensor_data(const DLManagedTensorVersioned* tensor) {
  if (tensor == nullptr || tensor->dl_tensor.data == nullptr) return nullptr;
  return static_cast<std::byte*>(tensor->dl_tensor.data) + tensor->dl_tensor.byte_offset;
}

void natgrad_tensor_destroy(DLManagedTensorVersioned* tensor) {
  if (tensor != nullptr && tensor->deleter != nullptr) tensor->deleter(tensor);
}

natgrad_status natgrad_tensor_write(const natgrad_context* context, const void* host,
                                    const DLManagedTensorVersioned* tensor) {
  return guarded(
      [&] { required("context", context).value.write(host, writable_view_of("tensor", tensor)); });
}

natgrad_status natgrad_tensor_read(const natgrad_context* context,
                                   const DLManagedTensorVersioned* tensor, void* host) {
  return guarded([&] { required("context", context).value.read(view_of("tensor", tensor), host); });
}

natgrad_status natgrad_gather_rows(const natgrad_context* context,
                                   const DLManagedTensorVersioned* from,
                                   const DLManagedTensorVersioned* rows,
                                   const DLManagedTensorVersioned* to) {
  return guarded([&] {
    natgrad::gather_rows(required("context", context).value, view_of("from", from),
                         view_of("rows", rows), writable_view_of("to", to));
  });
}
