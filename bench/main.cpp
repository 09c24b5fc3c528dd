// natgrad-bench [--device cpu|cuda] [--allow-tf32]: and Google Benchmark's options; standard output
// holds its output alone.

#include "benchmarks.hpp"
#include "natgrad/error.hpp"
#include "natgrad/process.hpp"

#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdio>
#include <exception>
#include <string>
#include <vector>

namespace {

using natgrad::DeviceKind;

constexpr int exit_error = 2;

DeviceKind device_named(const std::string& name) {
  if (name == "cpu") return DeviceKind::cpu;
  if (name == "cuda") return DeviceKind::cuda;
  throw natgrad::OptionError("--device " + name + ": expected cpu|cuda");
}

/// Takes `--device KIND` or `--device=KIND` out of the arguments; the CPU where it is not given.
DeviceKind take_device(std::vector<std::string>& arguments) {
  const std::string option = "--device";
  DeviceKind kind = DeviceKind::cpu;
  for (auto at = arguments.begin() + 1; at != arguments.end();) {
    if (at->rfind(option + "=", 0) == 0) {
      kind = device_named(at->substr(option.size() + 1));
    } else if (*at == option) {
      at = arguments.erase(at);
      kind = device_named(at == arguments.end() ? "" : *at);
      if (at == arguments.end()) break;
    } else {
      ++at;
      continue;
    }
    at = arguments.erase(at);
  }
  return kind;
}

/// Takes `--allow-tf32` out of the arguments; whether it was there.
bool take_tf32(std::vector<std::string>& arguments) {
  return std::erase(arguments, "--allow-tf32") > 0;
}

/// What every figure of the project is taken with, before the arguments, which may say otherwise.
std::vector<std::string> with_defaults(int argc, char** argv) {
  std::vector<std::string> arguments(argv, argv + argc);
  arguments.insert(arguments.begin() + 1, {"--benchmark_repetitions=5", "--benchmark_min_time=0.5",
                                           "--benchmark_report_aggregates_only=true"});
  return arguments;
}

void print_own_options() {
  std::puts(
      "natgrad-bench [--device cpu|cuda]  where to run (default cpu)\n"
      "              [--allow-tf32]       steps and Gram matrices with TF32, where a GPU has it\n");
}

/// Returns the exit code.
int run_benchmarks(std::vector<std::string> arguments) {
  if (std::find(arguments.begin(), arguments.end(), "--help") != arguments.end())
    print_own_options();
  const bool tf32 = take_tf32(arguments);
  natgrad::bench::open_device(take_device(arguments), tf32);
  std::vector<char*> pointers;
  for (std::string& argument : arguments) pointers.push_back(argument.data());
  int count = static_cast<int>(pointers.size());
  pointers.push_back(nullptr);

  natgrad::bench::register_peaks();
  natgrad::bench::register_steps();
  natgrad::bench::register_grams();
  natgrad::bench::register_factorizations();
  natgrad::bench::register_solves();
  natgrad::bench::register_several_solves();
  natgrad::bench::register_activations();
  natgrad::bench::register_operations();
  benchmark::Initialize(&count, pointers.data());
  if (benchmark::ReportUnrecognizedArguments(count, pointers.data())) return exit_error;
  natgrad::bench::add_peaks_to_context();
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  natgrad::apply_blas_advice(argv, natgrad::Waiting::as_ever);
  int code = exit_error;
  try {
    code = run_benchmarks(with_defaults(argc, argv));
  } catch (const std::exception& error) {
    std::fprintf(stderr, "natgrad-bench: %s\n", error.what());
  }
  natgrad::bench::close_device();
  return code;
}
