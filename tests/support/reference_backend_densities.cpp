#include "kernels/formulas/densities/table.hpp"
#include "support/reference_backend.hpp"
#include "support/reference_density.hpp"
#include "support/reference_elements.hpp"

#include <cmath>
#include <map>
#include <utility>

// Densities without inputs.

namespace natgrad::tests {

using namespace naive;  // NOLINT(google-build-using-namespace)

namespace {

Vector row_of(const ConstView& view, std::int64_t n) {
  Vector row;
  for (std::int64_t j = 0; j < view.columns(); ++j) row.push_back(load(view, n, j));
  return row;
}

/// theta and constants of a density.
struct Operands {
  Vector theta;
  Vector constants;

  Operands(DensityFamily family, const DensityAt& at) {
    const formulas::DensitySizes sizes = formulas::sizes_of(family, at.shape);
    theta.assign(at.theta, at.theta + sizes.parameters);
    constants.assign(at.constants, at.constants + sizes.constants);
  }
};

/// Filled before main() by the files in tests/backend/densities.
std::map<DensityFamily, std::unique_ptr<const ReferenceDensity>>& references() {
  static std::map<DensityFamily, std::unique_ptr<const ReferenceDensity>> all;
  return all;
}

}  // namespace

ReferenceDensity::Registration::Registration(DensityFamily family,
                                             std::unique_ptr<const ReferenceDensity> reference) {
  references().emplace(family, std::move(reference));
}

const ReferenceDensity& reference_density(DensityFamily family) { return *references().at(family); }

Vector ReferenceDensity::score(const DensityShape& shape, const Vector& constants,
                               const Vector& theta, const Vector& x) const {
  Vector score;
  for (std::size_t i = 0; i < theta.size(); ++i) {
    const auto at = [&](Real step) {
      Vector moved = theta;
      moved[i] += step;
      return log_p(shape, constants, moved, x);
    };
    constexpr Real h = 4e-5L;
    score.push_back((8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h));
  }
  return score;
}

Real normal_from(const ReferenceDensity::Uniform& uniform, std::int64_t i) {
  const Real angle = 8 * std::atan(Real{1}) * uniform(i + 1);
  return std::sqrt(-2 * std::log(1 - Real{uniform(i)})) * std::cos(angle);
}

Real log_normal(Real x, Real mean, Real scale) {
  if (!(scale > 0) || !std::isfinite(x)) return not_a_number;
  const Real z = (x - mean) / scale;
  return -z * z / 2 - std::log(scale) - std::log(8 * std::atan(Real{1})) / 2;
}

void ReferenceBackend::density_log_p(DensityFamily family, const DensityAt& at, const ConstView& x,
                                     const View& log_p) {
  const Operands operands(family, at);
  for (std::int64_t n = 0; n < x.rows(); ++n) {
    store(
        reference_density(family).log_p(at.shape, operands.constants, operands.theta, row_of(x, n)),
        log_p, n);
  }
}

void ReferenceBackend::density_score(DensityFamily family, const DensityAt& at, const ConstView& x,
                                     const ConstView& weights, const View& score) {
  const ReferenceDensity& reference = reference_density(family);
  const Operands operands(family, at);
  for (std::int64_t n = 0; n < x.rows(); ++n) {
    const Vector row = row_of(x, n);
    const Vector scores = reference.score(at.shape, operands.constants, operands.theta, row);
    const Real log_p = reference.log_p(at.shape, operands.constants, operands.theta, row);
    const Real factor = weights.empty() ? 1 : std::sqrt(load(weights, n) * std::exp(log_p));
    for (std::int64_t j = 0; j < score.columns(); ++j) store(factor * scores[j], score, n, j);
  }
}

void ReferenceBackend::density_sample(DensityFamily family, const DensityAt& at, std::uint64_t key,
                                      const View& counter, const View& x) {
  const Operands operands(family, at);
  const auto drawing = static_cast<std::uint32_t>(static_cast<std::uint64_t>(load(counter, 0)));
  std::int64_t uniforms = 0;
  formulas::Densities::visit_on_host(family, [&]<class F>(F) { uniforms = F::uniforms(at.shape); });
  for (std::int64_t n = 0; n < x.rows(); ++n) {
    const auto uniform = [&](std::int64_t i) {
      return formulas::uniform(formulas::random_bits(key, formulas::RandomStream::densities,
                                                     drawing,
                                                     static_cast<std::uint64_t>(n * uniforms + i)));
    };
    const Vector row =
        reference_density(family).sample(at.shape, operands.constants, operands.theta, uniform);
    for (std::int64_t j = 0; j < x.columns(); ++j) store(row[j], x, n, j);
  }
  store(load(counter, 0) + 1, counter, 0);
}

}  // namespace natgrad::tests
