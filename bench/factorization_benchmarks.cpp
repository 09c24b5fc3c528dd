// Cholesky in either triangle, on n^3 / 3 operations.

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

}  // namespace

void register_factorizations() {
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
