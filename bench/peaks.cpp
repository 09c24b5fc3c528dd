#include "benchmarks.hpp"
#include "core/context_state.hpp"
#include "kernels/formulas/random.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <string>

namespace natgrad::bench {

namespace {

std::int64_t gemm_size() { return on_cuda() ? 8192 : 2048; }
double gemm_operations() { return 2 * std::pow(static_cast<double>(gemm_size()), 3); }

std::int64_t copy_numbers() { return std::int64_t{1} << (on_cuda() ? 28 : 25); }
/// Read and written.
double copy_bytes() { return 2.0 * sizeof(float) * static_cast<double>(copy_numbers()); }

/// A square product.
class Gemm {
 public:
  Gemm(ElementType type, MathMode mode)
      : context_(bench_context()),
        mode_(mode),
        a_(normal_matrix({gemm_size(), gemm_size()}, type, 1)),
        b_(normal_matrix({gemm_size(), gemm_size()}, type, 2)),
        c_(context_.array({gemm_size(), gemm_size()}, type)) {
    context_.state().backend().fill(0, c_);
  }
  double operator()() const {
    return seconds([&] {
      context_.state().backend().gemm(Transpose::no, Transpose::yes, 1, a_, b_, 0, c_, mode_);
    });
  }

 private:
  Context context_;
  MathMode mode_;
  Array a_, b_, c_;
};

/// The device's memory, not the library: CUDA's own copy where there is one.
class Copy {
 public:
  Copy()
      : context_(bench_context()),
        from_(context_.array({copy_numbers(), 1}, ElementType::float32)),
        to_(context_.array({copy_numbers(), 1}, ElementType::float32)) {
    for (const Array* array : {&from_, &to_}) context_.state().backend().fill(1, *array);
  }
  double operator()() const {
    return seconds([&] {
      if (on_cuda())
        copy_by_cuda(context_, from_, to_);
      else
        context_.state().backend().copy(from_, to_);
    });
  }

 private:
  Context context_;
  Array from_, to_;
};

bool has_tf32() { return bench_context().state().backend().has_tf32(); }

template <class Work>
double best_seconds(const Work& work) {
  constexpr int tries = 5;
  double best = work();
  for (int i = 0; i < tries; ++i) best = std::min(best, work());
  return best;
}

template <class Work>
void rate(benchmark::State& state, const Work& work, double amount, const char* counter) {
  double total = 0;
  for (auto _ : state) {
    const double time = work();
    state.SetIterationTime(time);
    total += time;
  }
  state.counters[counter] = amount * static_cast<double>(state.iterations()) / total;
}

}  // namespace

double gemm_peak(ElementType type, MathMode mode) {
  return gemm_operations() / best_seconds(Gemm(type, mode));
}

void add_peaks_to_context() {
  benchmark::AddCustomContext("device", on_cuda() ? cuda_name(bench_context()) : "cpu");
  const auto giga = [](double rate) { return std::to_string(rate * 1e-9); };
  benchmark::AddCustomContext("peak_gemm_float_gflops", giga(gemm_peak(ElementType::float32)));
  benchmark::AddCustomContext("peak_gemm_double_gflops", giga(gemm_peak(ElementType::float64)));
  if (has_tf32()) {
    benchmark::AddCustomContext("peak_gemm_tf32_gflops",
                                giga(gemm_peak(ElementType::float32, MathMode::tf32)));
  }
  benchmark::AddCustomContext("peak_copy_gbytes", giga(copy_bytes() / best_seconds(Copy())));
}

std::vector<float> normal_numbers(std::int64_t count, std::uint64_t key) {
  // Box and Muller's cosine half.
  std::vector<float> values(static_cast<std::size_t>(count));
#pragma omp parallel for
  for (std::int64_t i = 0; i < count; ++i) {
    const auto draw = [&](std::uint32_t part) {
      return formulas::uniform(formulas::random_bits(key, formulas::RandomStream::weights, part,
                                                     static_cast<std::uint64_t>(i)));
    };
    values[static_cast<std::size_t>(i)] = static_cast<float>(
        std::sqrt(-2 * std::log1p(-draw(0))) * std::cos(2 * std::numbers::pi * draw(1)));
  }
  return values;
}

void configure(benchmark::internal::Benchmark* benchmark) {
  benchmark->UseManualTime()->Unit(benchmark::kMillisecond);
}

void register_peaks() {
  const auto add = [](const char* name, ElementType type, MathMode mode) {
    configure(benchmark::RegisterBenchmark(name, [=](benchmark::State& state) {
      rate(state, Gemm(type, mode), gemm_operations(), "operations_per_second");
    }));
  };
  add("peak/gemm/float32", ElementType::float32, MathMode::strict);
  add("peak/gemm/float64", ElementType::float64, MathMode::strict);
  if (has_tf32()) add("peak/gemm/tf32", ElementType::float32, MathMode::tf32);
  configure(benchmark::RegisterBenchmark("peak/copy", [](benchmark::State& state) {
    rate(state, Copy(), copy_bytes(), "bytes_per_second");
  }));
}

}  // namespace natgrad::bench
