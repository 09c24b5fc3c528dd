#pragma once

#include "natgrad/natgrad.hpp"

#include <torch/types.h>

#ifdef NATGRAD_TORCH_CUDA
#include "natgrad/cuda.hpp"

#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAStream.h>
#endif

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

// LibTorch's tensors as views, and a context on torch's stream. With NATGRAD_TORCH_CUDA defined it
// needs the headers of CUDA, and a natgrad that was built with CUDA.

namespace natgrad::torch {

namespace detail {

/// "float 3 x 4".
inline std::string description(const at::Tensor& tensor) {
  std::string text = at::toString(tensor.scalar_type());
  const char* separator = " ";
  for (const std::int64_t size : tensor.sizes()) {
    text += separator + std::to_string(size);
    separator = " x ";
  }
  return text;
}

inline ElementType element_type(const at::Tensor& tensor) {
  if (tensor.scalar_type() == at::kFloat) return ElementType::float32;
  if (tensor.scalar_type() == at::kDouble) return ElementType::float64;
  if (tensor.scalar_type() == at::kInt) return ElementType::int32;
  throw TypeError("a torch tensor is " + description(tensor) +
                  ", expected Float, Double or Int: natgrad converts nothing silently");
}

inline Device device(const at::Tensor& tensor) {
  if (tensor.layout() != at::kStrided || !(tensor.is_cpu() || tensor.is_cuda())) {
    throw DeviceError("a torch tensor, " + description(tensor) + ", lies on " +
                      tensor.device().str() + ", expected a dense one on cpu or cuda");
  }
  return tensor.is_cuda() ? Device{DeviceKind::cuda, tensor.device().index()} : Device{};
}

/// Counts writes in place; tensors of inference mode have no counter.
inline std::int64_t version(const at::Tensor& tensor) {
  return tensor.is_inference() ? 0 : static_cast<std::int64_t>(tensor._version());
}

}  // namespace detail

/// The memory of a tensor (..., columns) as a matrix: all dimensions but the last are its rows. A
/// vector of n numbers is (n, 1). Copies nothing, and does not keep the tensor alive. Throws
/// `ShapeError` where the rows are not evenly spaced or the last dimension is not adjacent,
/// `TypeError` for other elements than float, double and int32, `DeviceError` for what is neither
/// on the CPU nor on a CUDA device.
inline View view(const at::Tensor& tensor) {
  const ElementType type = detail::element_type(tensor);
  const Device device = detail::device(tensor);
  if (tensor.dim() == 0) return {tensor.data_ptr(), type, {1, 1}, {0, device}};
  const bool vector = tensor.dim() == 1;
  const std::int64_t columns = vector ? 1 : tensor.size(-1);
  if (columns > 1 && tensor.stride(-1) != 1) {
    throw ShapeError("a torch tensor, " + detail::description(tensor) +
                     ": its last dimension is not adjacent in memory; pass tensor.contiguous()");
  }
  std::int64_t rows = 1;
  std::int64_t leading_dimension = 0;
  for (std::int64_t i = vector ? 0 : tensor.dim() - 2; i >= 0; --i) {
    if (tensor.size(i) == 1) continue;
    if (leading_dimension == 0) {
      leading_dimension = tensor.stride(i);
    } else if (tensor.stride(i) != leading_dimension * rows) {
      throw ShapeError(
          "a torch tensor, " + detail::description(tensor) +
          ": its leading dimensions do not lie one in another; pass tensor.contiguous()");
    }
    rows *= tensor.size(i);
  }
  return {tensor.data_ptr(), type, {rows, columns}, {leading_dimension, device}};
}

/// A parameter (d_out, ...) as the matrix (d_out, d_in): the weight of a convolution is
/// (channels out, channels in times kernel). A vector is (n, 1). Throws what `view` throws.
inline View parameter_view(const at::Tensor& parameter) {
  if (parameter.dim() <= 2) return view(parameter);
  if (!parameter.is_contiguous()) {
    throw ShapeError("a torch parameter, " + detail::description(parameter) +
                     ", is not contiguous in memory");
  }
  return {parameter.data_ptr(),
          detail::element_type(parameter),
          {parameter.size(0), parameter.numel() / parameter.size(0)},
          {0, detail::device(parameter)}};
}

/// A context for tensors of `device`. On a CUDA device, which needs NATGRAD_TORCH_CUDA, it works on
/// the stream that is torch's current one now, and takes its memory from torch's caching allocator.
/// Throws what `Context::cpu` and `cuda_context` throw, and `DeviceError` for other devices.
inline Context context(const at::Device& device, Context::Options options = {}) {
  if (device.is_cpu()) return Context::cpu(std::move(options));
#ifdef NATGRAD_TORCH_CUDA
  if (device.is_cuda()) {
    if (!options.allocator.allocate) {
      options.allocator.allocate = [](std::size_t bytes, void* stream) {
        return c10::cuda::CUDACachingAllocator::raw_alloc_with_stream(
            bytes, static_cast<cudaStream_t>(stream));
      };
      options.allocator.deallocate = [](void* memory, std::size_t, void*) {
        c10::cuda::CUDACachingAllocator::raw_delete(memory);
      };
    }
    return cuda_context(c10::cuda::getCurrentCUDAStream(device.index()), std::move(options));
  }
#endif
  throw DeviceError("natgrad::torch::context: " + device.str() +
                    " is neither the CPU nor, with NATGRAD_TORCH_CUDA, a CUDA device");
}

}  // namespace natgrad::torch
