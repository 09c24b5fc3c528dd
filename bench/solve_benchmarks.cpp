// The damped solve x = (S^T S + lambda I)^-1 v, v = S^T r, of dense rows: one step of the library
// against the algorithm of Chen, Xie, Wang 2023 (arXiv 2310.17556) on the same BLAS, that of the
// CPU.

#include "backend/cpu/blas.hpp"
#include "benchmarks.hpp"
#include "core/context_state.hpp"
#include "natgrad/natgrad.hpp"
#include "scores/score_set.hpp"

#include <cmath>
#include <optional>
#include <string>

extern "C" {
#include <cblas.h>
}

namespace natgrad::bench {

namespace {

class Solve {
 public:
  Solve(std::int64_t n, std::int64_t p)
      : n_(n),
        p_(p),
        context_(bench_context()),
        backend_(context_.state().backend()),
        S_(upload(normal_numbers(n * p, 1), {n, p})),
        r_(upload(normal_numbers(n, 2), {n, 1})),
        ones_(array(n)),
        v_(array(p)),
        x_(array(p)),
        published_x_(array(p)),
        gram_(context_.array({n, n}, ElementType::float32)),
        Q_(context_.array({n, p}, ElementType::float32)),
        coordinates_(array(n)),
        parameters_(context_),
        scores_(parameters_) {
    parameters_.add(x_, "x");
    backend_.fill(1, ones_);
    scores_.begin(S_, {.weights = ones_, .coefficients = r_});
    scores_.gradient(v_);
    optimizer_.emplace(parameters_,
                       NaturalGradient::Options{
                           .step = FixedRate{1}, .momentum = NoMomentum{}, .form = Form::dual});
  }

  /// x by one step of rate 1 from 0: push-through, finite checks and update included.
  void exact(double lambda) {
    backend_.fill(0, x_);
    optimizer_->set_damping({.absolute = lambda});
    scores_.begin(S_, {.weights = ones_, .coefficients = r_});
    optimizer_->step(scores_);
  }

  /// L = chol(S S^T + lambda I), Q = L^-1 S, x = (v - Q^T Q v) / lambda, as its authors write it,
  /// but for the copy of S that their triangular solve makes: that is not timed.
  void copy_rows() { backend_.copy(S_, Q_); }
  void published(double lambda) {
    const auto n = static_cast<int>(n_);
    const auto p = static_cast<int>(p_);
    float* gram = gram_.view().as<float>();
    backend_.gemm(Transpose::no, Transpose::yes, 1, S_, S_, 0, gram_);
    backend_.add_to_diagonal(lambda, gram_);
    blas::potrf<float>(Triangle::lower, n_, gram, n_);
    cblas_strsm(CblasRowMajor, CblasLeft, CblasLower, CblasNoTrans, CblasNonUnit, n, p, 1, gram, n,
                Q_.view().as<float>(), p);
    const float* Q = Q_.view().as<float>();
    blas::gemv<float>(Transpose::no, n_, p_, 1, Q, p_, v_.view().as<float>(), 0,
                      coordinates_.view().as<float>());
    backend_.copy(v_, published_x_);
    blas::gemv<float>(Transpose::yes, n_, p_, -1, Q, p_, coordinates_.view().as<float>(), 1,
                      published_x_.view().as<float>());
    backend_.axpby(0.0, v_, 1 / lambda, published_x_);
  }

  /// |S^T (S x) + lambda x - v| / |v|, in double from the float rows.
  double residual(const View& x, double lambda) const {
    const Array wide = wide_array(p_);
    const Array product = wide_array(n_);
    const Array rest = wide_array(p_);
    const Array target = wide_array(p_);
    backend_.copy(x, wide);
    backend_.copy(v_, target);
    const Memory memory(*this);
    backend_.apply(scores_blocks(), wide, product, memory.scratch);
    backend_.adjoint(scores_blocks(), product, 0, rest, memory.scratch);
    backend_.axpby(lambda, wide, 1.0, rest);
    backend_.axpby(-1.0, target, 1.0, rest);
    return norm(rest) / norm(target);
  }

  /// |x - x64| / |x64| against a solve in double from the same float rows.
  double error(const View& x, const View& exact) const {
    const Array wide = wide_array(p_);
    backend_.copy(x, wide);
    backend_.axpby(-1.0, exact, 1.0, wide);
    return norm(wide) / norm(exact);
  }

  Array solution_in_double(double lambda) const {
    const Memory memory(*this);
    const Array gram = context_.array({n_, n_}, ElementType::float64);
    const Array y = wide_array(n_);
    const Array info = wide_array(1);
    Array x = wide_array(p_);
    backend_.gram(scores_blocks(), gram, memory.scratch);
    backend_.add_to_diagonal(lambda, gram);
    backend_.copy(r_, y);
    const std::int64_t bytes =
        backend_.potrf_scratch(Triangle::lower, n_, n_, ElementType::float64);
    const Array work = wide_array((bytes + 7) / 8);
    backend_.potrf(Triangle::lower, gram, info, {work.view().data(), bytes});
    backend_.potrs(Triangle::lower, gram, y, {work.view().data(), bytes});
    backend_.adjoint(scores_blocks(), y, 0, x, memory.scratch);
    return x;
  }

  View x() const { return x_; }
  View published_x() const { return published_x_; }
  /// Of the last exact step. Waits.
  Outcome outcome() { return optimizer_->report().outcome; }

 private:
  struct Memory {
    Array bytes;
    Scratch scratch;
    explicit Memory(const Solve& solve) {
      const RowBatch rows = solve.scores_blocks();
      scratch.bytes = solve.backend_.rows_scratch(rows.blocks, rows.rows(), ElementType::float32,
                                                  ElementType::float64);
      bytes = solve.wide_array((scratch.bytes + 7) / 8);
      scratch.data = bytes.view().data();
    }
  };

  Array array(std::int64_t size) const { return context_.array({size, 1}, ElementType::float32); }
  Array wide_array(std::int64_t size) const {
    return context_.array({size, 1}, ElementType::float64);
  }
  RowBatch scores_blocks() const { return scores_.rows().blocks(); }
  double norm(const View& x) const {
    const Array result = wide_array(1);
    backend_.dot(x, x, result);
    double value = 0;
    backend_.download(result, &value);
    return std::sqrt(value);
  }

  std::int64_t n_;
  std::int64_t p_;
  Context context_;
  Backend& backend_;
  Array S_;            // (N, P)
  Array r_;            // (N)
  Array ones_;         // (N): weights 1, so that F = S^T S
  Array v_;            // (P): S^T r
  Array x_;            // (P)
  Array published_x_;  // (P)
  Array gram_;         // (N, N)
  Array Q_;            // (N, P)
  Array coordinates_;  // (N): Q v
  Parameters parameters_;
  DenseScores scores_;
  std::optional<NaturalGradient> optimizer_;
};

void solve(benchmark::State& state, std::int64_t n, std::int64_t p) {
  constexpr double lambda = 100;
  Solve problem(n, p);
  const double peak = gemm_peak(ElementType::float32);
  problem.exact(lambda);
  double exact = 0;
  double published = 0;
  for (auto _ : state) {
    const double time = seconds([&] { problem.exact(lambda); });
    state.SetIterationTime(time);
    exact += time;
    if (on_cuda()) continue;
    problem.copy_rows();
    published += seconds([&] { problem.published(lambda); });
  }
  if (problem.outcome() != Outcome::accepted) state.SkipWithError("the step was not accepted");
  const auto rows = static_cast<double>(n);
  const double operations = rows * rows * static_cast<double>(p);
  state.counters["share_of_peak"] =
      operations * static_cast<double>(state.iterations()) / exact / peak;
  state.counters["residual"] = problem.residual(problem.x(), lambda);
  if (!on_cuda()) {
    state.counters["speedup_over_published"] = published / exact;
    state.counters["published_residual"] = problem.residual(problem.published_x(), lambda);
  }

  constexpr double small = 1;
  problem.exact(small);
  const Array reference = problem.solution_in_double(small);
  state.counters["error"] = problem.error(problem.x(), reference);
  if (on_cuda()) return;
  problem.copy_rows();
  problem.published(small);
  state.counters["published_error"] = problem.error(problem.published_x(), reference);
}

}  // namespace

void register_solves() {
  const std::int64_t larger = on_cuda() ? 4096 : 256;
  for (const Shape shape : {Shape{larger, 100000}, Shape{1024, 100000}}) {
    const std::string name =
        "solve/dense/n:" + std::to_string(shape.rows) + "/p:" + std::to_string(shape.columns);
    configure(benchmark::RegisterBenchmark(name.c_str(), [shape](benchmark::State& state) {
      solve(state, shape.rows, shape.columns);
    }));
  }
}

}  // namespace natgrad::bench
