#include "curvature/eigensystem.hpp"

#include "backend/backend.hpp"
#include "core/context_state.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

namespace natgrad::detail {

namespace {

bool all_finite(const std::vector<double>& values) {
  return std::all_of(values.begin(), values.end(), [](double x) { return std::isfinite(x); });
}

std::vector<double> downloaded(Backend& backend, const ConstView& from) {
  std::vector<double> values(static_cast<std::size_t>(from.size()));
  backend.download(from, values.data());
  return values;
}

/// What rounding of sums of N products and of the decomposition may make of a 0, relative to the
/// largest eigenvalue.
double rounding_of_zero(std::int64_t n, std::int64_t rows) {
  return (static_cast<double>(n) + 4 * std::sqrt(static_cast<double>(rows))) *
         std::numeric_limits<double>::epsilon();
}

}  // namespace

void Eigensystem::decompose(const Context& context, Array matrix, std::int64_t rows,
                            std::int64_t parameters) {
  Backend& backend = context.state().backend();
  const View A = matrix;
  const std::int64_t n = A.rows();
  *this = {};
  known = true;
  possible = std::min(rows, parameters);
  const Array scalars = context.array({3, 1}, real);
  const auto scalar = [&](std::int64_t i) { return scalars.view().row_range(i, 1); };
  // What an iteration makes of NaN is unspecified, and it may never end.
  backend.mirror(A, A);
  backend.norm_and_trace(A, A, scalar(0), scalar(1));
  double norm = 0;
  backend.download(scalar(0), &norm);
  if (!std::isfinite(norm)) {
    outcome = Outcome::not_finite;
    return;
  }
  const std::int64_t bytes = backend.syevd_scratch(n, A.leading_dimension());
  const Array work = context.array({bytes / 8 + 1, 1}, real);
  const Array w = context.array({n, 1}, real);
  backend.syevd(A, w, scalar(2), {.data = work.view().data(), .bytes = bytes});
  double info = 0;
  backend.download(scalar(2), &info);
  values = downloaded(backend, w);
  if (info != 0 || !all_finite(values)) {
    values.clear();
    outcome = Outcome::not_finite;
    return;
  }
  const double level = rounding_of_zero(n, rows) * values.back();
  for (std::int64_t k = 0; k < n; ++k) {
    double& value = values[static_cast<std::size_t>(k)];
    if (!(value > level) || k < n - possible) value = 0;
  }
  vectors = std::move(matrix);
}

void Eigensystem::read_diagonal(const Context& context, const ConstView& diagonal) {
  *this = {};
  known = true;
  possible = diagonal.rows();
  values = downloaded(context.state().backend(), diagonal);
  if (!all_finite(values)) {
    values.clear();
    outcome = Outcome::not_finite;
  }
  // Taking out the mean of rows that do not vary leaves rounding of either sign.
  for (double& value : values) value = std::max(value, 0.0);
}

void Eigensystem::apply(const Context& context, const std::function<double(double)>& f,
                        const View& x) const {
  Backend& backend = context.state().backend();
  std::vector<double> weights(values.size());
  std::transform(values.begin(), values.end(), weights.begin(), f);
  const Array factors = context.array(x.shape(), real);
  backend.upload(weights.data(), factors);
  if (vectors.empty()) return backend.multiply(x, factors, x);
  const Array components = context.array(x.shape(), real);
  backend.gemm(Transpose::no, Transpose::no, 1, vectors, x, 0, components);
  backend.multiply(components, factors, components);
  backend.gemm(Transpose::yes, Transpose::no, 1, vectors, components, 0, x);
}

Outcome Eigensystem::common_outcome() const {
  for (const Eigensystem& block : blocks) {
    if (block.outcome != Outcome::accepted) return block.outcome;
  }
  return outcome;
}

double Eigensystem::largest() const {
  double most = 0;
  for (const double value : values) most = std::max(most, value);
  for (const Eigensystem& block : blocks) most = std::max(most, block.largest());
  return most;
}

void Eigensystem::collect(std::vector<double>& to) const {
  to.insert(to.end(), values.end() - possible, values.end());
  for (const Eigensystem& block : blocks) block.collect(to);
}

Spectrum Eigensystem::spectrum(std::int64_t size) const {
  Spectrum result{.outcome = common_outcome(), .size = size};
  if (result.outcome != Outcome::accepted) return result;
  collect(result.eigenvalues);
  std::sort(result.eigenvalues.begin(), result.eigenvalues.end());
  return result;
}

}  // namespace natgrad::detail
