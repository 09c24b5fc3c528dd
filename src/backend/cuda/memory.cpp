#include "backend/cuda/cuda_backend.hpp"
#include "core/message.hpp"
#include "kernels/cuda/arrays.hpp"
#include "kernels/cuda/split.hpp"

#include <cstring>
#include <new>
#include <utility>

namespace natgrad {

using cuda::check;

namespace {

/// Pinned memory of the host, which kernels write through the same address.
std::shared_ptr<const Allocator> pinned_memory(
    const std::shared_ptr<const cuda::StreamHandle>& stream) {
  return std::make_shared<const Allocator>(Allocator{
      .allocate = [stream](std::size_t bytes, void*) -> void* {
        const cuda::DeviceGuard current(stream->device());
        void* memory = nullptr;
        check(cudaHostAlloc(&memory, bytes, cudaHostAllocPortable), "pinned memory of reports");
        // The host may read before enqueued work has written.
        std::memset(memory, 0, bytes);
        return memory;
      },
      .deallocate =
          [stream](void* memory, std::size_t, void*) {
            // Enqueued work may still write to it.
            const cuda::DeviceGuard current(stream->device(), std::nothrow);
            cuda::disregard(cudaStreamSynchronize(stream->get()));
            cuda::disregard(cudaFreeHost(memory));
          }});
}

// By their major compute capability.
constexpr int ampere = 8;
constexpr int hopper = 9;

int capability(cudaDeviceAttr part, int device) {
  int number = 0;
  check(cudaDeviceGetAttribute(&number, part, device), "the device's compute capability");
  return number;
}

int generation(int device) { return capability(cudaDevAttrComputeCapabilityMajor, device); }

/// Bytes of workspace that cuBLAS's documentation recommends for this device; with less it is
/// slower.
std::int64_t blas_workspace_bytes(int device) {
  return (generation(device) >= hopper ? std::int64_t{32} : std::int64_t{4}) << 20;
}

Array make_workspace(const cuda::StreamHandle& stream,
                     const std::shared_ptr<const Allocator>& memory, std::int64_t bytes) {
  return {memory,
          {bytes / 8, 1},
          ElementType::float64,
          {DeviceKind::cuda, stream.device()},
          stream.get()};
}

/// Throws `OptionError` for tiles of more rows of blocks than a kernel takes.
cuda::GramRule checked(const cuda::GramRule& rule) {
  const std::int64_t rows = rule.tile_height / rule.block;
  if (rows <= kernels::BlockStairs::most_rows) return rule;
  throw OptionError(detail::message("CUDA: .tile_height = ", rule.tile_height, " has ", rows,
                                    " rows of .block = ", rule.block, ", at most ",
                                    kernels::BlockStairs::most_rows, " are taken"));
}

constexpr std::int64_t info_numbers = 32;  // keeps what follows at multiples of 256 bytes
constexpr std::int64_t fixed_bytes = (kernels::partial_count + info_numbers) * 8;

}  // namespace

/// P100, V100 and B200 have half as many units for double as for float; A100 and H100 (H200) have
/// half as many too, and tensor cores for double that make up for it; all others have few.
double cuda::double_cost(int major, int minor) {
  if (minor == 0 && (major == 8 || major == 9)) return 1;
  if (minor == 0 && (major == 6 || major == 7 || major == 10)) return 2;
  return major <= 7 ? 32 : 64;
}

CudaBackend::CudaBackend(std::shared_ptr<cuda::StreamHandle> stream,
                         const std::shared_ptr<const Allocator>& memory, cuda::GramRule rule)
    : stream_(std::move(stream)),
      visible_memory_(pinned_memory(stream_)),
      workspace_(
          make_workspace(*stream_, memory, blas_workspace_bytes(stream_->device()) + fixed_bytes)),
      blas_(stream_->get(), workspace_.view().as<double>() + fixed_bytes / 8,
            blas_workspace_bytes(stream_->device())),
      partials_(workspace_.view().as<double>()),
      info_(reinterpret_cast<int*>(partials_ + kernels::partial_count)),
      has_tensor_cores_(generation(stream_->device()) >= ampere),
      gram_rule_(checked(rule)),
      double_cost_(
          cuda::double_cost(generation(stream_->device()),
                            capability(cudaDevAttrComputeCapabilityMinor, stream_->device()))),
      owners_(*stream_) {}

CudaBackend::~CudaBackend() {
  const cuda::DeviceGuard current(stream_->device(), std::nothrow);
  owners_.release_all();
  blas_.release();
}

void CudaBackend::set_stream(void* stream) {
  const auto current = guard();
  stream_->change(static_cast<cudaStream_t>(stream));
  blas_.set_stream(stream_->get());
}

void CudaBackend::release_after_work(std::vector<Owner>& owners) {
  const auto current = guard();
  owners_.add(owners);
}

void CudaBackend::release_finished() noexcept {
  const cuda::DeviceGuard current(stream_->device(), std::nothrow);
  owners_.release_finished();
}

std::string CudaBackend::misplaced(const void* data) const {
  const auto current = guard();
  cudaPointerAttributes attributes{};
  check(cudaPointerGetAttributes(&attributes, data), "where a view's memory is");
  if (attributes.type == cudaMemoryTypeManaged) return {};
  if (attributes.type != cudaMemoryTypeDevice) return "memory of the host";
  if (attributes.device == stream_->device()) return {};
  return detail::message("memory of cuda ", attributes.device);
}

bool CudaBackend::is_host_memory(const void* data) const {
  const auto current = guard();
  cudaPointerAttributes attributes{};
  check(cudaPointerGetAttributes(&attributes, data), "where the host's memory is");
  return attributes.type != cudaMemoryTypeDevice;
}

/// Asks no more once it knows.
bool CudaBackend::was_captured() const {
  was_captured_ = was_captured_ || stream_->is_capturing();
  return was_captured_;
}

void CudaBackend::synchronize() {
  const auto current = guard();
  check(cudaStreamSynchronize(stream_->get()), "the work of the stream");
  owners_.release_finished();
}

void CudaBackend::upload(const void* host, const View& to) {
  const auto current = guard();
  const auto bytes = static_cast<std::size_t>(to.size() * size_of(to.type()));
  check(cudaMemcpyAsync(to.data(), host, bytes, cudaMemcpyDefault, stream_->get()),
        "copy from the host");
  check(cudaStreamSynchronize(stream_->get()), "the work of the stream");
}

void CudaBackend::download(const ConstView& from, void* host) {
  const auto current = guard();
  const auto bytes = static_cast<std::size_t>(from.size() * size_of(from.type()));
  check(cudaMemcpyAsync(host, from.data(), bytes, cudaMemcpyDefault, stream_->get()),
        "copy to the host");
  check(cudaStreamSynchronize(stream_->get()), "the work of the stream");
}

void CudaBackend::copy(const ConstView& from, const View& to) {
  const auto current = guard();
  kernels::copy(stream_->get(), from, to);
}

void CudaBackend::fill(double value, const View& to) {
  const auto current = guard();
  kernels::fill(stream_->get(), value, to);
}

void CudaBackend::gather_rows(const ConstView& from, const ConstView& rows, const View& to) {
  const auto current = guard();
  kernels::gather_rows(stream_->get(), from, rows, to);
}

void CudaBackend::commit(const ConstView& flag, const ConstView& from, const View& to) {
  const auto current = guard();
  kernels::commit(stream_->get(), flag, from, to);
}

}  // namespace natgrad
