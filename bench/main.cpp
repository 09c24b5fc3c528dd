// natgrad-bench: Google Benchmark's options; standard output holds its output alone.

#include "backend/cpu/blas_environment.hpp"
#include "benchmarks.hpp"

#include <benchmark/benchmark.h>

#include <string>
#include <vector>

namespace {

/// What every figure of the project is taken with, before the arguments, which may say otherwise.
std::vector<std::string> with_defaults(int argc, char** argv) {
  std::vector<std::string> arguments(argv, argv + argc);
  arguments.insert(arguments.begin() + 1, {"--benchmark_repetitions=5", "--benchmark_min_time=0.5",
                                           "--benchmark_report_aggregates_only=true"});
  return arguments;
}

}  // namespace

int main(int argc, char** argv) {
  natgrad::apply_blas_advice(argv);
  std::vector<std::string> arguments = with_defaults(argc, argv);
  std::vector<char*> pointers;
  for (std::string& argument : arguments) pointers.push_back(argument.data());
  int count = static_cast<int>(pointers.size());
  pointers.push_back(nullptr);

  natgrad::bench::register_peaks();
  natgrad::bench::register_steps();
  natgrad::bench::register_grams();
  natgrad::bench::register_solves();
  natgrad::bench::register_activations();
  benchmark::Initialize(&count, pointers.data());
  if (benchmark::ReportUnrecognizedArguments(count, pointers.data())) return 2;
  natgrad::bench::add_peaks_to_context();
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}
