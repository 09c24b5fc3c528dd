#include "kernels/cuda/vectors.hpp"

#include "backend/cuda/cuda_backend.hpp"
#include "kernels/cuda/arrays.hpp"
#include "kernels/cuda/formulas.hpp"

namespace natgrad {

using cuda::scalar_of;

void CudaBackend::axpby(Scalar a, const ConstView& x, Scalar b, const View& y) {
  const auto current = guard();
  kernels::axpby(stream_->get(), scalar_of(a), x, scalar_of(b), y);
}

void CudaBackend::multiply(const ConstView& x, const ConstView& y, const View& z) {
  const auto current = guard();
  kernels::multiply(stream_->get(), x, y, z);
}

void CudaBackend::divide(const ConstView& f, Scalar shift, const ConstView& b, const View& x,
                         const View& info) {
  const auto current = guard();
  kernels::divide(stream_->get(), f, scalar_of(shift), b, x, info, partials_);
}

void CudaBackend::inverse_roots(const ConstView& x, double smallest, const View& y) {
  const auto current = guard();
  kernels::inverse_roots(stream_->get(), x, smallest, y);
}

void CudaBackend::dot(const ConstView& x, const ConstView& y, const View& result) {
  const auto current = guard();
  kernels::dot(stream_->get(), x, y, result, partials_);
}

void CudaBackend::residual(const ConstView& b, const ConstView& product, Scalar shift,
                           const ConstView& x, const View& result, const View& square) {
  const auto current = guard();
  kernels::residual(stream_->get(), b, product, scalar_of(shift), x, result, square, partials_);
}

void CudaBackend::check_update(std::span<const UpdatedTensor> tensors, Scalar rate, Scalar shrink,
                               const View& finite) {
  const auto current = guard();
  kernels::check_update(stream_->get(), tensors, scalar_of(rate), scalar_of(shrink), finite);
}

void CudaBackend::update(Scalar accept, std::span<const UpdatedTensor> tensors, Scalar rate,
                         Scalar shrink) {
  const auto current = guard();
  kernels::update(stream_->get(), scalar_of(accept), tensors, scalar_of(rate), scalar_of(shrink));
}

void CudaBackend::adam(const ConstView& g, double rate, double beta1, double beta2, double epsilon,
                       std::int64_t step, const View& mean, const View& square, const View& theta) {
  const auto current = guard();
  kernels::adam(stream_->get(), g, rate, beta1, beta2, epsilon, step, mean, square, theta);
}

void CudaBackend::evaluate(const ScalarFormula& formula) {
  const auto current = guard();
  kernels::evaluate(stream_->get(), formula);
}

void CudaBackend::publish(const ConstView& record, const View& slots) {
  const auto current = guard();
  kernels::publish(stream_->get(), record, slots);
}

}  // namespace natgrad
