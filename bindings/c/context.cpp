#include "bindings/c/context.hpp"

#include "backend/backend.hpp"
#include "bindings/c/handles.hpp"
#include "bindings/c/status.hpp"
#include "bindings/c/structs.hpp"
#include "core/context_state.hpp"

#include <string>
#include <utility>

namespace natgrad::c {

namespace {

natgrad_context_options context_defaults() {
  natgrad_context_options defaults = {};
  defaults.size = sizeof defaults;
  return defaults;
}

Context::Options context_options_of(const natgrad_context_options* options) {
  const auto given = read_struct("context options", options, context_defaults());
  if ((given.allocate == nullptr) != (given.deallocate == nullptr)) {
    throw OptionError("context options: an allocator needs both allocate and deallocate");
  }
  Context::Options result;
  if (given.allocate != nullptr) {
    result.allocator.allocate = [allocate = given.allocate, user = given.allocator_user](
                                    std::size_t bytes, void* stream) {
      return allocate(user, bytes, stream);
    };
    result.allocator.deallocate = [deallocate = given.deallocate, user = given.allocator_user](
                                      void* memory, std::size_t bytes, void* stream) {
      deallocate(user, memory, bytes, stream);
    };
  }
  if (given.on_warning != nullptr) {
    result.on_warning = [warn = given.on_warning, user = given.warning_user](
                            std::string_view text) { warn(user, std::string(text).c_str()); };
  }
  return result;
}

template <class Make>
natgrad_status make_context(const natgrad_context_options* options, natgrad_context** context,
                            Make&& make) {
  return guarded([&] {
    natgrad_context*& result = required("context", context);
    result = new natgrad_context{std::forward<Make>(make)(context_options_of(options))};
  });
}

}  // namespace

}  // namespace natgrad::c

using namespace natgrad::c;  // NOLINT(google-build-using-namespace): the interface's own functions

natgrad_status natgrad_context_options_init(natgrad_context_options* options, size_t size) {
  return guarded([&] { write_struct("context options", options, size, context_defaults()); });
}

natgrad_status natgrad_context_cpu(const natgrad_context_options* options,
                                   natgrad_context** context) {
  return make_context(options, context, [](natgrad::Context::Options given) {
    return natgrad::Context::cpu(std::move(given));
  });
}

natgrad_status natgrad_context_cuda(const natgrad_context_options* options,
                                    natgrad_context** context) {
  return make_context(options, context, [](natgrad::Context::Options given) {
    return natgrad::Context::cuda(std::move(given));
  });
}

natgrad_status natgrad_context_cuda_on(void* stream, const natgrad_context_options* options,
                                       natgrad_context** context) {
  return make_context(options, context, [stream](natgrad::Context::Options given) {
    return context_on(stream, std::move(given));
  });
}

natgrad_status natgrad_context_best(const natgrad_context_options* options,
                                    natgrad_context** context) {
  return make_context(options, context, [](natgrad::Context::Options given) {
    return natgrad::Context::best(std::move(given));
  });
}

void natgrad_context_destroy(natgrad_context* context) { delete context; }

natgrad_status natgrad_context_device(const natgrad_context* context, int32_t* kind,
                                      int32_t* index) {
  return guarded([&] {
    const natgrad::Device device = required("context", context).value.device();
    if (kind != nullptr) *kind = static_cast<std::int32_t>(device.kind);
    if (index != nullptr) *index = device.index;
  });
}

natgrad_status natgrad_context_stream(const natgrad_context* context, void** stream) {
  return guarded([&] {
    const natgrad::Context& value = required("context", context).value;
    void*& result = required("stream", stream);
    if (value.device().kind != natgrad::DeviceKind::cuda) {
      throw natgrad::DeviceError("context: a context on the CPU has no stream");
    }
    result = value.state().backend().stream();
  });
}

natgrad_status natgrad_context_set_stream(const natgrad_context* context, void* stream) {
  return guarded([&] { set_stream(required("context", context).value, stream); });
}

natgrad_status natgrad_context_synchronize(const natgrad_context* context) {
  return guarded([&] { required("context", context).value.synchronize(); });
}

natgrad_status natgrad_set_threads(int32_t count) {
  return guarded([&] {
    if (count < 1) throw natgrad::OptionError(natgrad::detail::message("threads: ", count, " < 1"));
    natgrad::set_threads(count);
  });
}

int32_t natgrad_threads() { return natgrad::threads(); }

natgrad_status natgrad_blas_advice(char* buffer, size_t capacity, size_t* length) {
  return guarded([&] {
    std::string text;
    for (const natgrad::BlasAdvice& advice : natgrad::blas_advice()) {
      text += natgrad::detail::message(text.empty() ? "" : "\n", advice.variable, "=", advice.value,
                                       ": ", advice.reason);
    }
    copy_text(text, buffer, capacity, length);
  });
}
