#pragma once

#include "backend/backend.hpp"
#include "benchmarks.hpp"
#include "core/context_state.hpp"
#include "curvature/cholesky.hpp"

#include <cstdint>

namespace natgrad::bench {

/// Cholesky of a random positive definite (n, n) in one triangle, in memory that lies as that of a
/// step's system.
class Factorization {
 public:
  Factorization(Triangle triangle, std::int64_t n, ElementType type)
      : triangle_(triangle),
        backend_(context_.state().backend()),
        matrix_(context_.array({n, n}, type)),
        memory_(context_.array({n, detail::DampedCholesky::leading_dimension(n)}, type)),
        factor_(memory_.view().data(), type, {n, n},
                {.leading_dimension = memory_.view().columns(), .device = context_.device()}),
        solution_(context_.array({n, 1}, type)),
        info_(context_.array({1, 1}, ElementType::float64)) {
    const Array root = normal_matrix({n, n}, type, 1);
    backend_.fill(0, matrix_);
    backend_.syrk(triangle, Transpose::no, 1, root, 0, matrix_);
    backend_.add_to_diagonal(static_cast<double>(n), matrix_);
    scratch_.bytes = backend_.potrf_scratch(triangle, n, factor_.leading_dimension(), type);
    work_ = context_.array({scratch_.bytes / 8 + 1, 1}, ElementType::float64);
    scratch_.data = work_.view().data();
  }

  /// Seconds of the factorization, or of that and two triangular solves.
  double time() const {
    backend_.copy(matrix_, factor_);
    return seconds([&] { backend_.potrf(triangle_, factor_, info_, scratch_); });
  }
  double time_with_solve() const {
    backend_.copy(matrix_, factor_);
    backend_.fill(1, solution_);
    return seconds([&] {
      backend_.potrf(triangle_, factor_, info_, scratch_);
      backend_.potrs(triangle_, factor_, solution_, scratch_);
    });
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
  Array memory_;
  View factor_;
  Array solution_;
  Array info_;
  Array work_;
  Scratch scratch_;
};

}  // namespace natgrad::bench
