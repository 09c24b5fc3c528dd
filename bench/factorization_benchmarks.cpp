// Cholesky in either triangle, on n^3 / 3 operations.

#include "benchmarks.hpp"
#include "core/context_state.hpp"

#include <string>

namespace natgrad::bench {

namespace {

class Factorization {
 public:
  Factorization(Triangle triangle, std::int64_t n, ElementType type)
      : triangle_(triangle),
        backend_(context_.state().backend()),
        matrix_(context_.array({n, n}, type)),
        factor_(context_.array({n, n}, type)),
        info_(context_.array({1, 1}, ElementType::float64)) {
    const Array root = normal_matrix({n, n}, type, 1);
    backend_.fill(0, matrix_);
    backend_.syrk(triangle, Transpose::no, 1, root, 0, matrix_);
    backend_.add_to_diagonal(static_cast<double>(n), matrix_);
    scratch_.bytes = backend_.potrf_scratch(triangle, n, n, type);
    memory_ = context_.array({scratch_.bytes / 8 + 1, 1}, ElementType::float64);
    scratch_.data = memory_.view().data();
  }

  double time() const {
    backend_.copy(matrix_, factor_);
    return seconds([&] { backend_.potrf(triangle_, factor_, info_, scratch_); });
  }

  bool succeeded() const {
    double info = 0;
    context_.read(info_, &info);
    return info == 0;
  }

 private:
  Triangle triangle_;
  Context context_ = bench_context();
  Backend& backend_;
  Array matrix_;
  Array factor_;
  Array info_;
  Array memory_;
  Scratch scratch_;
};

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
