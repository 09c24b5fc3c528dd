#pragma once

#include "natgrad/context.hpp"

#include <benchmark/benchmark.h>

#include <chrono>
#include <cstdint>
#include <vector>

namespace natgrad::bench {

// Each adds its benchmarks to Google Benchmark's list.
void register_peaks();
void register_grams();
void register_steps();
void register_solves();
void register_activations();

/// What every benchmark shares: it times itself and reports milliseconds.
void configure(benchmark::internal::Benchmark* benchmark);

/// Operations a second of a square product of this type, measured now: what shares of peak refer
/// to.
double gemm_peak(ElementType type);

/// Measures gemm and copy rates and puts them into the output's head: every run shows its peaks.
void add_peaks_to_context();

/// Seconds that `work` takes.
template <class Work>
double seconds(const Work& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// `count` standard normal numbers, the same for the same key.
std::vector<float> normal_numbers(std::int64_t count, std::uint64_t key);

/// A device array with these numbers.
Array upload(const Context& context, const std::vector<float>& values, Shape shape);

}  // namespace natgrad::bench
