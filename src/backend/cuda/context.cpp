#include "natgrad/context.hpp"

#include "backend/cuda/cuda_backend.hpp"
#include "core/context_state.hpp"
#include "core/memory_errors.hpp"
#include "kernels/cuda/vectors.hpp"
#include "natgrad/cuda.hpp"

#include <memory>
#include <new>
#include <string>
#include <utility>

namespace natgrad {

namespace {

/// "12.4" of 12040.
std::string version_text(int version) {
  return detail::message(version / 1000, '.', version % 1000 / 10);
}

std::string why_unusable(cudaError_t status) {
  return detail::message("no CUDA device can be used: ", cudaGetErrorString(status));
}

/// Why there is no CUDA device, in one line; empty where there is one.
std::string why_missing() {
  int devices = 0;
  const cudaError_t status = cudaGetDeviceCount(&devices);
  if (status == cudaSuccess && devices > 0) return {};
  cuda::disregard(status);
  if (status == cudaSuccess || status == cudaErrorNoDevice) return "there is no CUDA device";
  if (status != cudaErrorInsufficientDriver) return why_unusable(status);
  // No driver and one that is too old are the same error.
  int driver = 0;
  int runtime = 0;
  cudaDriverGetVersion(&driver);
  cudaRuntimeGetVersion(&runtime);
  if (driver == 0) return "there is no CUDA driver";
  return detail::message("the CUDA driver is too old: has ", version_text(driver), ", needs ",
                         version_text(runtime));
}

/// Why the current device cannot run this build's kernels; empty where it can.
std::string why_not_runnable() {
  const cudaError_t status = kernels::loadable();
  cuda::disregard(status);
  if (status == cudaSuccess) return {};
  if (status == cudaErrorNoKernelImageForDevice || status == cudaErrorInvalidDeviceFunction) {
    return "this build has no code for the CUDA device (CMAKE_CUDA_ARCHITECTURES)";
  }
  return why_unusable(status);
}

std::string why_unavailable() {
  const std::string reason = why_missing();
  return reason.empty() ? why_not_runnable() : reason;
}

/// Memory of the stream's order. Within a capture the runtime would make the allocation a part of
/// the graph, whose memory is there only while the graph runs.
Allocator device_allocator(const std::shared_ptr<const cuda::StreamHandle>& handle) {
  return {.allocate = [handle](std::size_t bytes, void* stream) -> void* {
            if (handle->is_capturing()) {
              throw DeviceError(
                  detail::message("CUDA: a call that is captured needs ", bytes,
                                  " bytes more; make a call of its size before the capture"));
            }
            void* memory = nullptr;
            const cudaError_t status =
                cudaMallocAsync(&memory, bytes, static_cast<cudaStream_t>(stream));
            if (status == cudaSuccess) return memory;
            cudaGetLastError();
            if (status == cudaErrorMemoryAllocation) return nullptr;
            throw DeviceError(
                detail::message("CUDA: allocate ", bytes, " bytes: ", cudaGetErrorString(status)));
          },
          .deallocate =
              [](void* memory, std::size_t, void* stream) {
                cuda::disregard(cudaFreeAsync(memory, static_cast<cudaStream_t>(stream)));
              }};
}

/// The same allocator, which keeps the stream alive and is called with its device current, for the
/// stream as it is then: an array may outlive the one that it was allocated on.
Allocator on_stream(Allocator memory, const std::shared_ptr<const cuda::StreamHandle>& stream) {
  return {.allocate =
              [allocate = std::move(memory.allocate), stream](std::size_t bytes, void*) {
                const cuda::DeviceGuard current(stream->device());
                return allocate(bytes, stream->get());
              },
          .deallocate =
              [deallocate = std::move(memory.deallocate), stream](void* data, std::size_t bytes,
                                                                  void*) {
                const cuda::DeviceGuard current(stream->device(), std::nothrow);
                deallocate(data, bytes, stream->get());
              }};
}

std::shared_ptr<detail::ContextState> make_state(std::shared_ptr<cuda::StreamHandle> stream,
                                                 Context::Options options) {
  Allocator& memory = options.allocator;
  if (!memory.allocate && !memory.deallocate) memory = device_allocator(stream);
  if (memory.allocate && memory.deallocate) memory = on_stream(std::move(memory), stream);
  const cuda::DeviceGuard current(stream->device());
  // The workspace of the handles does not come from the caller's allocator: no memory plan counts
  // it.
  const auto own = std::make_shared<const Allocator>(on_stream(device_allocator(stream), stream));
  auto backend = std::make_unique<CudaBackend>(std::move(stream), own);
  return std::make_shared<detail::ContextState>(std::move(options), std::move(backend));
}

void require_none(const std::string& reason) {
  if (!reason.empty()) throw DeviceError("context: " + reason);
}

}  // namespace

Context Context::cuda(Options options) {
  return detail::with_memory_errors([&] {
    require_none(why_unavailable());
    return Context(make_state(std::make_shared<cuda::StreamHandle>(), std::move(options)));
  });
}

Context Context::best(Options options) {
  return detail::with_memory_errors([&] {
    const std::string reason = why_unavailable();
    if (reason.empty()) return cuda(std::move(options));
    Context context = cpu(std::move(options));
    context.state_->warn(reason + "; the CPU is used");
    return context;
  });
}

Context cuda_context(cudaStream_t stream, Context::Options options) {
  return detail::with_memory_errors([&] {
    require_none(why_missing());
    auto handle = std::make_shared<cuda::StreamHandle>(stream);
    const cuda::DeviceGuard current(handle->device());
    require_none(why_not_runnable());
    return Context(make_state(std::move(handle), std::move(options)));
  });
}

void set_cuda_stream(const Context& context, cudaStream_t stream) {
  if (context.device().kind != DeviceKind::cuda) {
    throw DeviceError("set stream: the context is on the CPU");
  }
  detail::with_memory_errors([&] { context.state().backend().set_stream(stream); });
}

cudaStream_t cuda_stream(const Context& context) {
  if (context.device().kind != DeviceKind::cuda) {
    throw DeviceError("stream: the context is on the CPU");
  }
  return static_cast<cudaStream_t>(context.state().backend().stream());
}

}  // namespace natgrad
