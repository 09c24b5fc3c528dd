#include "backend/cpu/blas_library.hpp"
#include "natgrad/process.hpp"

#include <array>
#include <cstdlib>
#ifdef _OPENMP
#include <omp.h>
#endif
#include <string_view>
#include <unistd.h>

namespace natgrad {

namespace {

constexpr const char* restarted = "NATGRAD_RESTARTED";

/// The best of OpenBLAS's kernel sets that this processor runs; empty where none is better than
/// SSE.
std::string_view best_core() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl")) {
    return "SkylakeX";
  }
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return "Haswell";
#endif
  return {};
}

bool is_sse_core(std::string_view core) {
  constexpr std::array<std::string_view, 7> cores = {"Prescott", "Core2",  "Penryn", "Dunnington",
                                                     "Nehalem",  "Athlon", "Generic"};
  for (std::string_view name : cores) {
    if (core == name) return true;
  }
  return false;
}

}  // namespace

std::vector<BlasAdvice> blas_advice() {
  std::vector<BlasAdvice> advice;
  // Looked up by name, because any BLAS may be there and only OpenBLAS has these.
  const auto core_name =
      reinterpret_cast<const char* (*)()>(blas::find_function("openblas_get_corename"));
  const auto parallel = reinterpret_cast<int (*)()>(blas::find_function("openblas_get_parallel"));
  if (core_name != nullptr && std::getenv("OPENBLAS_CORETYPE") == nullptr) {
    const std::string core = core_name();
    if (is_sse_core(core) && !best_core().empty()) {
      advice.push_back(
          {"OPENBLAS_CORETYPE", std::string(best_core()),
           "OpenBLAS does not know this processor and runs its slow " + core + " kernels"});
    }
  }
  constexpr int threads_of_its_own = 1;
  if (parallel != nullptr && parallel() == threads_of_its_own &&
      std::getenv("OMP_WAIT_POLICY") == nullptr) {
    advice.push_back({"OMP_WAIT_POLICY", "passive",
                      "OpenBLAS has threads of its own, which OpenMP's spinning threads starve"});
  }
  return advice;
}

void apply_blas_advice(char** argv, [[maybe_unused]] Waiting waiting) {
  if (std::getenv(restarted) != nullptr) {
    unsetenv(restarted);
    return;
  }
  const std::vector<BlasAdvice> advice = blas_advice();
  bool restart = !advice.empty();
#ifdef _OPENMP
  if (waiting == Waiting::passive) {
    restart = restart || std::getenv("OMP_WAIT_POLICY") == nullptr;
    setenv("OMP_WAIT_POLICY", "passive", 0);
  }
#endif
  if (!restart) return;
  for (const BlasAdvice& item : advice) setenv(item.variable.c_str(), item.value.c_str(), 1);
  setenv(restarted, "1", 1);
  execv("/proc/self/exe", argv);
  // Where that fails the program runs on, only slower.
  unsetenv(restarted);
}

#ifdef _OPENMP
void set_threads(int count) { omp_set_num_threads(count); }
int threads() { return omp_get_max_threads(); }
#else
void set_threads(int) {}
int threads() { return 1; }
#endif

}  // namespace natgrad
