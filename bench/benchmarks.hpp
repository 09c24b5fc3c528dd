#pragma once

#include "backend/backend.hpp"
#include "natgrad/context.hpp"

#include <benchmark/benchmark.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace natgrad::bench {

// Each adds its benchmarks to Google Benchmark's list.
void register_peaks();
void register_grams();
void register_factorizations();
void register_steps();
void register_solves();
void register_several_solves();
void register_activations();
void register_operations();

/// What every benchmark shares: it times itself and reports milliseconds.
void configure(benchmark::internal::Benchmark* benchmark);

/// Operations a second of a square product of this type, measured now: what shares of peak refer
/// to.
double gemm_peak(ElementType type, MathMode mode = MathMode::strict);

/// Measures gemm and copy rates and puts them into the output's head: every run shows its peaks.
void add_peaks_to_context();

/// What all benchmarks run on, between the two calls. Throws `DeviceError` where it is missing.
void open_device(DeviceKind kind, bool allow_tf32);
void close_device();
Context bench_context();
bool on_cuda();
/// Whether steps and Gram matrices are to be taken with TF32, and how their products are computed
/// then.
bool allows_tf32();
MathMode bench_mode();

/// Seconds between two points of a context's work, enqueued work included.
class Timer {
 public:
  virtual ~Timer() = default;
  virtual void start() = 0;
  /// Waits for the work.
  virtual double stop() = 0;
};
Timer& bench_timer();
std::unique_ptr<Timer> cuda_timer(const Context& context);
std::string cuda_name(const Context& context);
/// Enqueues CUDA's own copy between contiguous arrays of one shape and type.
void copy_by_cuda(const Context& context, const ConstView& from, const View& to);

/// Seconds that `work` takes on the device.
template <class Work>
double seconds(const Work& work) {
  Timer& timer = bench_timer();
  timer.start();
  work();
  return timer.stop();
}

/// `count` standard normal numbers, the same for the same key.
std::vector<float> normal_numbers(std::int64_t count, std::uint64_t key);

/// A device array with these numbers.
Array upload(const std::vector<float>& values, Shape shape);

/// A device array of standard normal numbers, of which columns from 256 on repeat those before: a
/// device's clock depends on what it multiplies, and drawing them all would take long.
Array normal_matrix(Shape shape, ElementType type, std::uint64_t key);

}  // namespace natgrad::bench
