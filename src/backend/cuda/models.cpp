#include "kernels/cuda/models.hpp"

#include "backend/cuda/cuda_backend.hpp"

namespace natgrad {

void CudaBackend::bias_activation(Activation activation, const ConstView& bias, const View& z,
                                  const View& a) {
  const auto current = guard();
  kernels::bias_activation(stream_->get(), activation, bias, z, a);
}

void CudaBackend::activation_backward(Activation activation, const ConstView& z, const ConstView& a,
                                      const View& delta) {
  const auto current = guard();
  kernels::activation_backward(stream_->get(), activation, z, a, delta);
}

void CudaBackend::likelihood_score(const OutputDistribution& distribution, const ConstView& z,
                                   const ConstView& targets, const View& score) {
  const auto current = guard();
  kernels::likelihood_score(stream_->get(), distribution, z, targets, score);
}

void CudaBackend::likelihood_sample(const OutputDistribution& distribution, const ConstView& z,
                                    std::uint64_t key, std::int64_t draws, const View& counter,
                                    const View& targets) {
  const auto current = guard();
  kernels::likelihood_sample(stream_->get(), distribution, z, key, draws, counter, targets);
}

void CudaBackend::log_likelihood(const OutputDistribution& distribution, const ConstView& z,
                                 const ConstView& targets, const View& log_p) {
  const auto current = guard();
  kernels::log_likelihood(stream_->get(), distribution, z, targets, log_p);
}

void CudaBackend::likelihood_evaluate(const OutputDistribution& distribution, const ConstView& z,
                                      const ConstView& targets, const View& result) {
  const auto current = guard();
  kernels::likelihood_evaluate(stream_->get(), distribution, z, targets, result, partials_);
}

void CudaBackend::likelihood_exact(const OutputDistribution& distribution, const ConstView& z,
                                   const ConstView& targets, const View& rows, const View& r) {
  const auto current = guard();
  kernels::likelihood_exact(stream_->get(), distribution, z, targets, rows, r);
}

void CudaBackend::likelihood_kl(const OutputDistribution& distribution, const ConstView& z,
                                const ConstView& now, const View& kl) {
  const auto current = guard();
  kernels::likelihood_kl(stream_->get(), distribution, z, now, kl);
}

}  // namespace natgrad
