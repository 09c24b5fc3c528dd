#pragma once

#include "natgrad/dlpack.h"
#include "natgrad/natgrad.h"
#include "support/device.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <type_traits>
#include <utility>
#include <vector>

namespace natgrad::tests {

/// Frees what the C interface gave.
struct FreeHandle {
  void operator()(natgrad_context* handle) const { natgrad_context_destroy(handle); }
  void operator()(natgrad_parameters* handle) const { natgrad_parameters_destroy(handle); }
  void operator()(natgrad_scores* handle) const { natgrad_scores_destroy(handle); }
  void operator()(natgrad_optimizer* handle) const { natgrad_optimizer_destroy(handle); }
  void operator()(natgrad_fisher* handle) const { natgrad_fisher_destroy(handle); }
  void operator()(natgrad_plan* handle) const { natgrad_plan_destroy(handle); }
  void operator()(natgrad_bytes* handle) const { natgrad_bytes_destroy(handle); }
  void operator()(natgrad_checkpoint* handle) const { natgrad_checkpoint_destroy(handle); }
  void operator()(natgrad_spectrum* handle) const { natgrad_spectrum_destroy(handle); }
  void operator()(DLManagedTensorVersioned* tensor) const { natgrad_tensor_destroy(tensor); }
};
template <class T>
using Handle = std::unique_ptr<T, FreeHandle>;

/// What a function of the interface makes; the test fails where it does not.
template <class T, class Make, class... Arguments>
Handle<T> made(Make make, Arguments... arguments) {
  T* handle = nullptr;
  EXPECT_EQ(make(arguments..., &handle), NATGRAD_OK) << natgrad_error_text();
  return Handle<T>(handle);
}

/// A struct with its defaults.
template <class T, class Init, class... Arguments>
T defaults(Init init, Arguments... arguments) {
  T result;
  EXPECT_EQ(init(&result, sizeof result, arguments...), NATGRAD_OK) << natgrad_error_text();
  return result;
}

/// A context on the device that this executable was linked for.
inline Handle<natgrad_context> c_context(const natgrad_context_options* options = nullptr) {
  const bool cuda = test_device().kind == DeviceKind::cuda;
  return made<natgrad_context>(cuda ? natgrad_context_cuda : natgrad_context_cpu, options);
}

/// A tensor of the caller's own on the test's device, which counts how often it was freed.
template <class T>
class CountedTensor {
 public:
  CountedTensor(std::vector<T> numbers, std::vector<std::int64_t> shape,
                std::vector<std::int64_t> strides = {})
      : memory_(numbers.begin(), numbers.end()),
        shape_(std::move(shape)),
        strides_(std::move(strides)) {
    tensor.version = {DLPACK_MAJOR_VERSION, DLPACK_MINOR_VERSION};
    tensor.manager_ctx = this;
    tensor.deleter = [](DLManagedTensorVersioned* self) {
      ++static_cast<CountedTensor*>(self->manager_ctx)->freed;
    };
    tensor.dl_tensor.data = memory_.data();
    const Device device = test_device();
    tensor.dl_tensor.device = {device.kind == DeviceKind::cuda ? kDLCUDA : kDLCPU, device.index};
    tensor.dl_tensor.ndim = static_cast<std::int32_t>(shape_.size());
    constexpr unsigned bits = 8 * sizeof(T);
    tensor.dl_tensor.dtype = {static_cast<std::uint8_t>(std::is_integral_v<T> ? kDLInt : kDLFloat),
                              static_cast<std::uint8_t>(bits), 1};
    tensor.dl_tensor.shape = shape_.data();
    tensor.dl_tensor.strides = strides_.empty() ? nullptr : strides_.data();
  }
  CountedTensor(const CountedTensor&) = delete;
  CountedTensor& operator=(const CountedTensor&) = delete;

  operator DLManagedTensorVersioned*() { return &tensor; }  // NOLINT(google-explicit-constructor)
  std::vector<T> numbers() const {
    synchronize_device();
    return {memory_.begin(), memory_.end()};
  }

  DLManagedTensorVersioned tensor = {};
  int freed = 0;

 private:
  SharedVector<T> memory_;
  std::vector<std::int64_t> shape_;
  std::vector<std::int64_t> strides_;
};

}  // namespace natgrad::tests
