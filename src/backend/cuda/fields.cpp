#include "kernels/cuda/fields.hpp"

#include "backend/cuda/cuda_backend.hpp"

namespace natgrad {

void CudaBackend::tanh_terms(std::int64_t terms, const ConstView& bias, const View& z,
                             const View& a) {
  const auto current = guard();
  kernels::tanh_terms(stream_->get(), terms, bias, z, a);
}

void CudaBackend::tanh_terms_backward(std::int64_t terms, const ConstView& z, const ConstView& a,
                                      const View& delta) {
  const auto current = guard();
  kernels::tanh_terms_backward(stream_->get(), terms, z, a, delta);
}

void CudaBackend::draw_points(std::uint64_t key, const ConstView& counter, bool on_faces,
                              const View& x) {
  const auto current = guard();
  kernels::draw_points(stream_->get(), key, counter, on_faces, x);
}

void CudaBackend::solution_at(PoissonSolution solution, bool laplacian, const ConstView& x,
                              const View& value) {
  const auto current = guard();
  kernels::solution_at(stream_->get(), solution, laplacian, x, value);
}

}  // namespace natgrad
