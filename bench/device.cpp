#include "benchmarks.hpp"
#include "core/context_state.hpp"
#include "natgrad/error.hpp"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <memory>
#include <optional>
#include <utility>

namespace natgrad::bench {

namespace {

class CpuTimer final : public Timer {
 public:
  explicit CpuTimer(Context context) : context_(std::move(context)) {}
  void start() override {
    context_.synchronize();
    start_ = Clock::now();
  }
  double stop() override {
    context_.synchronize();
    return std::chrono::duration<double>(Clock::now() - start_).count();
  }

 private:
  using Clock = std::chrono::steady_clock;

  Context context_;
  Clock::time_point start_;
};

struct OpenDevice {
  Context context;
  std::unique_ptr<Timer> timer;
  bool allows_tf32 = false;
};

std::optional<OpenDevice>& device() {
  static std::optional<OpenDevice> device;
  return device;
}

}  // namespace

void open_device(DeviceKind kind, bool allow_tf32) {
  const Context::Options options = {.on_warning = [](std::string_view text) {
    std::fprintf(stderr, "natgrad-bench: %.*s\n", static_cast<int>(text.size()), text.data());
  }};
  const bool cuda = kind == DeviceKind::cuda;
  const Context context = cuda ? Context::cuda(options) : Context::cpu(options);
  device() = {context, cuda ? cuda_timer(context) : std::make_unique<CpuTimer>(context),
              allow_tf32};
}

void close_device() { device().reset(); }

Context bench_context() { return device().value().context; }
bool on_cuda() { return bench_context().device().kind == DeviceKind::cuda; }
bool allows_tf32() { return device().value().allows_tf32; }
MathMode bench_mode() { return bench_context().state().backend().math_mode(allows_tf32()); }
Timer& bench_timer() { return *device().value().timer; }

Array upload(const std::vector<float>& values, Shape shape) {
  Array array = bench_context().array(shape, ElementType::float32);
  bench_context().write(values.data(), array);
  return array;
}

Array normal_matrix(Shape shape, ElementType type, std::uint64_t key) {
  const Context context = bench_context();
  Backend& backend = context.state().backend();
  const std::int64_t drawn = std::min<std::int64_t>(shape.columns, 256);
  Array matrix = context.array(shape, type);
  const View all = matrix;
  const auto columns = [&](std::int64_t first, std::int64_t count) {
    return View(static_cast<std::byte*>(all.data()) + first * size_of(type), type,
                {shape.rows, count}, {.leading_dimension = shape.columns, .device = all.device()});
  };
  backend.copy(upload(normal_numbers(shape.rows * drawn, key), {shape.rows, drawn}),
               columns(0, drawn));
  for (std::int64_t have = drawn; have < shape.columns; have *= 2) {
    const std::int64_t count = std::min(have, shape.columns - have);
    backend.copy(columns(0, count), columns(have, count));
  }
  return matrix;
}

}  // namespace natgrad::bench
