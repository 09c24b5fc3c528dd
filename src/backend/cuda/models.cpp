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

void CudaBackend::categorical_score(const ConstView& z, const ConstView& labels,
                                    const View& score) {
  const auto current = guard();
  kernels::categorical_score(stream_->get(), z, labels, score);
}

void CudaBackend::sample_categorical(const ConstView& z, std::uint64_t key, std::int64_t draws,
                                     const View& counter, const View& labels) {
  const auto current = guard();
  kernels::sample_categorical(stream_->get(), z, key, draws, counter, labels);
}

void CudaBackend::categorical_log_likelihood(const ConstView& z, const ConstView& labels,
                                             const View& log_p) {
  const auto current = guard();
  kernels::categorical_log_likelihood(stream_->get(), z, labels, log_p);
}

void CudaBackend::categorical_evaluate(const ConstView& z, const ConstView& labels,
                                       const View& result) {
  const auto current = guard();
  kernels::categorical_evaluate(stream_->get(), z, labels, result, partials_);
}

}  // namespace natgrad
