// The diagonal of (F + lambda I)^-1 in sample space.

#include "core/context_state.hpp"
#include "curvature/sample_space.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

namespace natgrad::detail {

namespace {

double trace_of(const Eigensystem& system) {
  double sum = 0;
  for (const double value : system.values) sum += value;
  return sum;
}

}  // namespace

/// sum_k f(mu_k) (S^T v_k)_i^2 over the eigenvalues that are not 0, to `sum` (P) float64; 2 N P
/// operations each.
void SampleSpace::add_squares(const Eigensystem& system, const std::function<double(double)>& f,
                              const View& sum) {
  const Array row = context_.array({shape_.parameters, 1}, ElementType::float64);
  backend_.fill(0, sum);
  RowBatch strict = rows();
  strict.mode = MathMode::strict;
  for (std::int64_t k = 0; k < shape_.batch_rows; ++k) {
    const double value = system.values[static_cast<std::size_t>(k)];
    if (!(value > 0)) continue;
    const View v(system.vectors.view().row_range(k, 1).as<double>(), {shape_.batch_rows, 1},
                 {.device = row.view().device()});
    // Vectors of centred rows are orthogonal to u already, but for rounding.
    backend_.copy(v, measured_product_);
    if (!roots_.empty()) backend_.project(roots_, measured_product_);
    backend_.adjoint(strict, measured_product_, 0, row, work_);
    backend_.multiply(row, row, row);
    backend_.axpby(f(value), row, 1.0, sum);
  }
}

Outcome SampleSpace::inverse_diagonal(const DampingState* damping, Eigensystem& known,
                                      const View& diagonal) {
  fisher().decompose(context_, known);
  if (known.outcome != Outcome::accepted) return known.outcome;
  DampingState state{};
  backend_.download(ConstView(&damping->absolute, {sizeof(DampingState) / sizeof(double), 1},
                              {.device = backend_.device()}),
                    &state);
  const double lambda =
      state.absolute + state.relative * trace_of(known) / static_cast<double>(known.possible);
  if (!std::isfinite(lambda)) return Outcome::not_finite;
  const auto rank =
      known.values.end() - std::upper_bound(known.values.begin(), known.values.end(), 0.0);
  if (rank == shape_.parameters) {
    add_squares(
        known, [=](double mu) { return 1 / (mu * (mu + lambda)); }, diagonal);
    return Outcome::accepted;
  }
  if (lambda == 0) return Outcome::not_positive_definite;
  // (1 - sum) / lambda cancels. By convexity no element is below 1 / (F_ii + lambda).
  const Array squares = context_.array(diagonal.shape(), ElementType::float64);
  add_squares(
      known, [=](double mu) { return 1 / (mu + lambda); }, diagonal);
  add_squares(
      known, [](double) { return 1.0; }, squares);
  std::vector<double> covered(static_cast<std::size_t>(shape_.parameters));
  std::vector<double> F(covered.size());
  backend_.download(diagonal, covered.data());
  backend_.download(squares, F.data());
  for (std::size_t i = 0; i < covered.size(); ++i) {
    covered[i] = std::max((1 - covered[i]) / lambda, 1 / (F[i] + lambda));
  }
  backend_.upload(covered.data(), diagonal);
  return Outcome::accepted;
}

}  // namespace natgrad::detail
