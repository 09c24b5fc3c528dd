#include "backend/cpu/cpu_backend.hpp"
#include "backend/cpu/pieces.hpp"
#include "kernels/formulas/densities/samples.hpp"
#include "kernels/formulas/densities/table.hpp"

namespace natgrad {

using cpu::at;
using formulas::with_density;

namespace {

/// Samples that make one thread's share.
constexpr std::int64_t sample_grain = 256;

/// run(n) for every sample.
template <class Run>
void for_each_sample(std::int64_t samples, const Run& run) {
  cpu::parallel_blocks(samples, sample_grain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t n = begin; n < end; ++n) run(n);
  });
}

}  // namespace

void CpuBackend::density_log_p(DensityFamily family, const DensityAt& density, const ConstView& x,
                               const View& log_p) {
  double* result = log_p.as<double>();
  with_density(family, x.type(), [&]<class F, class T>(F, T) {
    for_each_sample(x.rows(),
                    [&](std::int64_t n) { result[n] = F::log_p(density, at<T>(x, n, 0)); });
  });
}

void CpuBackend::density_score(DensityFamily family, const DensityAt& density, const ConstView& x,
                               const ConstView& weights, const View& score) {
  const double* weight = weights.empty() ? nullptr : weights.as<double>();
  with_density(family, x.type(), [&]<class F, class T>(F, T) {
    for_each_sample(x.rows(), [&](std::int64_t n) {
      formulas::density_row<F>(density, at<T>(x, n, 0), weight == nullptr ? weight : weight + n,
                               at<T>(score, n, 0));
    });
  });
}

void CpuBackend::density_sample(DensityFamily family, const DensityAt& density, std::uint64_t key,
                                const View& counter, const View& x) {
  const auto drawing = static_cast<std::uint64_t>(cpu::value_of(counter));
  with_density(family, x.type(), [&]<class F, class T>(F, T) {
    const std::int64_t uniforms = F::uniforms(density.shape);
    for_each_sample(x.rows(), [&](std::int64_t n) {
      F::sample(density, {key, drawing, n * uniforms}, at<T>(x, n, 0));
    });
  });
  *counter.as<double>() += 1;
}

}  // namespace natgrad
