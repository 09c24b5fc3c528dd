#include "bindings/c/handles.hpp"
#include "bindings/c/status.hpp"

#include <string>
#include <utility>

namespace natgrad::c {

namespace {

View parameter_view(const DLManagedTensorVersioned* tensor) {
  const View view = writable_view_of("tensor", tensor);
  if ((tensor->flags & DLPACK_FLAG_BITMASK_IS_COPIED) != 0) {
    throw ArgumentError("tensor: it is a copy, which the model would not see move");
  }
  return view;
}

}  // namespace

}  // namespace natgrad::c

using namespace natgrad::c;  // NOLINT(google-build-using-namespace): the interface's own functions

natgrad_status natgrad_parameters_create(const natgrad_context* context,
                                         natgrad_parameters** parameters) {
  return guarded([&] {
    const natgrad::Context& device = required("context", context).value;
    natgrad_parameters*& result = required("parameters", parameters);
    result = new natgrad_parameters{.value = natgrad::Parameters(device)};
  });
}

void natgrad_parameters_destroy(natgrad_parameters* parameters) { delete parameters; }

natgrad_status natgrad_parameters_add(natgrad_parameters* parameters,
                                      DLManagedTensorVersioned* tensor, const char* name,
                                      int32_t* segment) {
  return guarded([&] {
    natgrad_parameters& all = required("parameters", parameters);
    const natgrad::View view = parameter_view(tensor);
    auto owner =
        std::make_shared<TensorOwner>(std::initializer_list<DLManagedTensorVersioned*>{tensor});
    all.tensors->push_back(owner);
    try {
      const natgrad::Segment added = all.value.add(view, name == nullptr ? "" : name);
      if (segment != nullptr) *segment = added.index;
    } catch (...) {
      all.tensors->pop_back();
      throw;
    }
    owner->take();
  });
}

natgrad_status natgrad_parameters_rebind(natgrad_parameters* parameters, int32_t segment,
                                         DLManagedTensorVersioned* tensor) {
  return guarded([&] {
    natgrad_parameters& all = required("parameters", parameters);
    const natgrad::View view = parameter_view(tensor);
    auto owner =
        std::make_shared<TensorOwner>(std::initializer_list<DLManagedTensorVersioned*>{tensor});
    const natgrad::Context& context = all.value.context();
    all.value.tensor({segment});  // throws where there is none
    // What is queued may move the tensor that goes.
    if (context.device().kind != natgrad::DeviceKind::cpu) context.synchronize();
    all.value.rebind({segment}, view);
    owner->take();
    all.tensors->at(static_cast<std::size_t>(segment)) = std::move(owner);
  });
}

natgrad_status natgrad_parameters_size(const natgrad_parameters* parameters, int64_t* size) {
  return guarded([&] { required("size", size) = required("parameters", parameters).value.size(); });
}

natgrad_status natgrad_parameters_segments(const natgrad_parameters* parameters, int32_t* count) {
  return guarded(
      [&] { required("count", count) = required("parameters", parameters).value.segments(); });
}

natgrad_status natgrad_parameters_offset(const natgrad_parameters* parameters, int32_t segment,
                                         int64_t* offset) {
  return guarded([&] {
    required("offset", offset) = required("parameters", parameters).value.offset({segment});
  });
}

natgrad_status natgrad_parameters_name(const natgrad_parameters* parameters, int32_t segment,
                                       char* buffer, size_t capacity, size_t* length) {
  return guarded([&] {
    copy_text(required("parameters", parameters).value.name({segment}), buffer, capacity, length);
  });
}

natgrad_status natgrad_parameters_gather(const natgrad_parameters* parameters,
                                         const DLManagedTensorVersioned* array) {
  return guarded(
      [&] { required("parameters", parameters).value.gather(writable_view_of("array", array)); });
}

natgrad_status natgrad_parameters_scatter(const natgrad_parameters* parameters,
                                          const DLManagedTensorVersioned* array) {
  return guarded(
      [&] { required("parameters", parameters).value.scatter(view_of("array", array)); });
}
