#include "kernels/cuda/densities.hpp"

#include "backend/cuda/cuda_backend.hpp"

namespace natgrad {

void CudaBackend::density_log_p(DensityFamily family, const DensityAt& density, const ConstView& x,
                                const View& log_p) {
  const auto current = guard();
  kernels::density_log_p(stream_->get(), family, density, x, log_p);
}

void CudaBackend::density_score(DensityFamily family, const DensityAt& density, const ConstView& x,
                                const ConstView& weights, const View& score) {
  const auto current = guard();
  kernels::density_score(stream_->get(), family, density, x, weights, score);
}

void CudaBackend::density_sample(DensityFamily family, const DensityAt& density, std::uint64_t key,
                                 const View& counter, const View& x) {
  const auto current = guard();
  kernels::density_sample(stream_->get(), family, density, key, counter, x);
}

}  // namespace natgrad
