// Cholesky in either triangle, on n^3 / 3 operations; eigenvalues and eigenvectors.

#include "benchmarks.hpp"
#include "factorization.hpp"

#include <string>

namespace natgrad::bench {

namespace {

void factorization(benchmark::State& state, Triangle triangle, std::int64_t n, ElementType type) {
  const Factorization problem(triangle, n, type);
  problem.time();
  double total = 0;
  for (auto _ : state) {
    const double time = problem.time();
    state.SetIterationTime(time);
    total += time;
  }
  if (!problem.succeeded()) state.SkipWithError("the matrix was not factored");
  const auto size = static_cast<double>(n);
  state.counters["operations_per_second"] =
      size * size * size / 3 * static_cast<double>(state.iterations()) / total;
}

/// Of F of 2 n standard normal rows.
void eigenvalues(benchmark::State& state, std::int64_t n) {
  const Context context = bench_context();
  Backend& backend = context.state().backend();
  const Array root = normal_matrix({2 * n, n}, ElementType::float64, 1);
  const Array matrix = context.array({n, n}, ElementType::float64);
  const Array A = context.array({n, n}, ElementType::float64);
  const Array w = context.array({n, 1}, ElementType::float64);
  const Array info = context.array({1, 1}, ElementType::float64);
  const std::int64_t bytes = backend.syevd_scratch(n, n);
  const Array work = context.array({bytes / 8 + 1, 1}, ElementType::float64);
  backend.syrk(Triangle::lower, Transpose::yes, 1, root, 0, matrix);
  const auto time = [&] {
    backend.copy(matrix, A);
    return seconds([&] { backend.syevd(A, w, info, {work.view().data(), bytes}); });
  };
  time();
  for (auto _ : state) state.SetIterationTime(time());
  double failed = 0;
  context.read(info, &failed);
  if (failed != 0) state.SkipWithError("no eigenvalues were found");
}

}  // namespace

void register_factorizations() {
  for (const std::int64_t n : {256, 1024, 2048}) {
    const std::string name = "syevd/n:" + std::to_string(n);
    configure(benchmark::RegisterBenchmark(
        name.c_str(), [n](benchmark::State& state) { eigenvalues(state, n); }));
  }
  for (const Triangle triangle : {Triangle::lower, Triangle::upper}) {
    for (const std::int64_t n : {1024, 4096}) {
      for (const ElementType type : {ElementType::float32, ElementType::float64}) {
        const std::string name = std::string("potrf/") +
                                 (triangle == Triangle::lower ? "lower" : "upper") +
                                 "/n:" + std::to_string(n) + "/" + to_string(type);
        configure(benchmark::RegisterBenchmark(name.c_str(),
                                               [triangle, n, type](benchmark::State& state) {
                                                 factorization(state, triangle, n, type);
                                               }));
      }
    }
  }
}

}  // namespace natgrad::bench
