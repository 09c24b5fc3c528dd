#include "fisher/damped_system.hpp"

namespace natgrad::detail {

SystemBuffers::SystemBuffers(Carver& carver, std::int64_t n, ElementType type,
                             std::int64_t work_bytes) {
  const View both = carver.take({n, leading_dimension(n)}, type);
  rhs = carver.take({n, 1}, type);
  solution = carver.take({n, 1}, type);
  product = carver.take({n, 1}, type);
  residual = carver.take({n, 1}, type);
  work = {.data = carver.take_bytes(work_bytes), .bytes = work_bytes};
  if (both.empty()) return;
  const Placement placement{.leading_dimension = leading_dimension(n), .device = both.device()};
  matrix = View(both.data(), type, {n, n}, placement);
  factor = View(static_cast<std::byte*>(both.data()) + factor_offset * size_of(type), type, {n, n},
                placement);
}

void DampedSystem::factorize(std::int64_t rank, MeanRule mean) const {
  backend_.mirror(b_.matrix, b_.factor);
  backend_.norm_and_trace(b_.matrix, b_.factor, scalar(scalars_, &StepScalars::norm),
                          scalar(scalars_, &StepScalars::trace));
  backend_.update_scalars(ScalarRule::damp, {.rank = static_cast<double>(rank), .mean = mean},
                          scalars_);
  backend_.add_to_diagonal(scalar(scalars_, &StepScalars::shift), b_.factor);
  backend_.identity_unless(scalar(scalars_, &StepScalars::matrix_finite), Triangle::upper,
                           b_.factor);
  backend_.potrf(Triangle::upper, b_.factor, scalar(scalars_, &StepScalars::info), b_.work);
}

void DampedSystem::substitute() const {
  backend_.copy(b_.rhs, b_.solution);
  backend_.potrs(Triangle::upper, b_.factor, b_.solution);
}

void DampedSystem::solve() const {
  backend_.dot(b_.rhs, b_.rhs, scalar(scalars_, &StepScalars::rhs_square));
  substitute();
  backend_.symv(Triangle::lower, b_.matrix, b_.solution, b_.product);
  backend_.residual(b_.rhs, b_.product, scalar(scalars_, &StepScalars::shift), b_.solution,
                    b_.residual, scalar(scalars_, &StepScalars::residual_square));
}

}  // namespace natgrad::detail
