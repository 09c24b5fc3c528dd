#include "kernels/cuda/matrices.hpp"

#include "backend/cuda/cuda_backend.hpp"
#include "kernels/cuda/cholesky.hpp"
#include "kernels/cuda/elementwise.hpp"
#include "kernels/cuda/matrix_elements.hpp"
#include "kernels/formulas/float_type.hpp"

#include <algorithm>
#include <cstdint>

namespace natgrad {

using cuda::scalar_of;

namespace {

/// Rows up to which a factorization by kernels of its own is faster than cuSOLVER's:
/// bench/README.md.
constexpr std::int64_t most_rows_of_kernels = 8192;

/// They take an upper triangle in float, as damped systems have it, by accesses of 16 bytes.
bool by_kernels(Triangle triangle, const ConstView& A) {
  constexpr std::int64_t bytes = 16;
  return triangle == Triangle::upper && A.type() == ElementType::float32 && A.rows() > 0 &&
         A.rows() <= most_rows_of_kernels && A.leading_dimension() * 4 % bytes == 0 &&
         reinterpret_cast<std::uintptr_t>(A.data()) % bytes == 0;
}

void require_scratch(std::int64_t n, Scratch scratch) {
  const std::int64_t bytes = kernels::CholeskyScratch::bytes(n);
  if (scratch.bytes >= bytes) return;
  throw DeviceError(detail::message("CUDA: the factorization of ", n, " rows needs ", bytes,
                                    " bytes, was given ", scratch.bytes));
}

}  // namespace

void CudaBackend::gemm(Transpose transpose_a, Transpose transpose_b, double a, const ConstView& A,
                       const ConstView& B, double b, const View& C, MathMode mode) {
  const auto current = guard();
  const std::int64_t inner = transpose_a == Transpose::yes ? A.rows() : A.columns();
  with_float_type(C.type(), [&]<class T>(T) {
    blas_.gemm<T>(transpose_a, transpose_b, C.rows(), C.columns(), inner, static_cast<T>(a),
                  A.as<T>(), A.leading_dimension(), B.as<T>(), B.leading_dimension(),
                  static_cast<T>(b), C.as<T>(), C.leading_dimension(), mode);
  });
}

void CudaBackend::syrk(Triangle triangle, Transpose transpose, double a, const ConstView& A,
                       double b, const View& C) {
  const auto current = guard();
  const std::int64_t inner = transpose == Transpose::yes ? A.rows() : A.columns();
  with_float_type(C.type(), [&]<class T>(T) {
    blas_.syrk<T>(triangle, transpose, C.rows(), inner, static_cast<T>(a), A.as<T>(),
                  A.leading_dimension(), static_cast<T>(b), C.as<T>(), C.leading_dimension(),
                  MathMode::strict);
  });
}

void CudaBackend::symv(Triangle triangle, const ConstView& A, const ConstView& x, const View& y) {
  const auto current = guard();
  with_float_type(A.type(), [&]<class T>(T) {
    blas_.symv<T>(triangle, A.rows(), A.as<T>(), A.leading_dimension(), x.as<T>(), y.as<T>());
  });
}

std::int64_t CudaBackend::potrf_scratch(Triangle triangle, std::int64_t n,
                                        std::int64_t leading_dimension, ElementType type) const {
  const auto current = guard();
  if (type == ElementType::float64) {
    return blas_.potrf_scratch<double>(triangle, n, leading_dimension);
  }
  // The address decides, too, which of them factorizes.
  const bool may = triangle == Triangle::upper && n <= most_rows_of_kernels;
  return std::max(may ? kernels::CholeskyScratch::bytes(n) : 0,
                  blas_.potrf_scratch<float>(triangle, n, leading_dimension));
}

void CudaBackend::potrf(Triangle triangle, const View& A, const View& info, Scratch scratch) {
  const auto current = guard();
  if (by_kernels(triangle, A)) {
    require_scratch(A.rows(), scratch);
    return kernels::cholesky(stream_->get(), kernels::matrix<float>(A), info.as<double>(),
                             {scratch.data, A.rows()});
  }
  with_float_type(A.type(), [&]<class T>(T) {
    blas_.potrf<T>(triangle, A.rows(), A.as<T>(), A.leading_dimension(), info_, scratch);
  });
  kernels::store_info(stream_->get(), info_, A, info);
}

void CudaBackend::potrs(Triangle triangle, const ConstView& factor, const View& b,
                        Scratch scratch) {
  const auto current = guard();
  const SeveralRows rows(b, factor.rows());
  if (by_kernels(triangle, factor)) {
    require_scratch(factor.rows(), scratch);
    for (std::int64_t i = 0; i < rows.count; ++i) {
      kernels::cholesky_solve(stream_->get(), kernels::matrix<float>(factor),
                              b.as<float>() + i * rows.next, {scratch.data, factor.rows()});
    }
    return;
  }
  with_float_type(factor.type(), [&]<class T>(T) {
    blas_.potrs<T>(triangle, factor.rows(), factor.as<T>(), factor.leading_dimension(), b.as<T>(),
                   rows.count, rows.next, info_);
  });
}

std::int64_t CudaBackend::syevd_scratch(std::int64_t n, std::int64_t leading_dimension) const {
  const auto current = guard();
  return blas_.syevd_scratch(n, leading_dimension);
}

void CudaBackend::syevd(const View& A, const View& w, const View& info, Scratch scratch) {
  const auto current = guard();
  blas_.syevd(A.rows(), A.as<double>(), A.leading_dimension(), w.as<double>(), info_, scratch);
  // Of no factor, whose diagonal would have to be positive.
  const ConstView none(info.data(), ElementType::float64, {0, 0}, {.device = info.device()});
  kernels::store_info(stream_->get(), info_, none, info);
}

void CudaBackend::smallest_pivots(const ConstView& A, Scalar shift, const ConstView& factor,
                                  const View& result) {
  const auto current = guard();
  kernels::smallest_pivots(stream_->get(), A, scalar_of(shift), factor, result);
}

void CudaBackend::add_to_diagonal(Scalar value, const View& A) {
  const auto current = guard();
  kernels::add_to_diagonal(stream_->get(), scalar_of(value), A);
}

void CudaBackend::mirror(const ConstView& lower, const View& upper) {
  const auto current = guard();
  kernels::mirror(stream_->get(), lower, upper);
}

void CudaBackend::norm_and_trace(const ConstView& lower, const ConstView& upper, const View& norm,
                                 const View& trace) {
  const auto current = guard();
  kernels::norm_and_trace(stream_->get(), lower, upper, norm, trace, partials_);
}

void CudaBackend::project(const ConstView& u, const View& y) {
  const auto current = guard();
  kernels::project(stream_->get(), u, y, partials_);
}

void CudaBackend::project_matrix(Triangle triangle, const ConstView& u, const ConstView& product,
                                 const View& A) {
  const auto current = guard();
  kernels::project_matrix(stream_->get(), triangle == Triangle::lower, u, product, A, partials_);
}

void CudaBackend::identity_unless(const ConstView& flag, Triangle triangle, const View& A) {
  const auto current = guard();
  kernels::identity_unless(stream_->get(), flag, triangle == Triangle::lower, A);
}

void CudaBackend::scale_symmetric(Triangle triangle, const ConstView& factors, const View& A) {
  const auto current = guard();
  kernels::scale_symmetric(stream_->get(), triangle == Triangle::lower, factors, A);
}

void CudaBackend::scale_columns(const ConstView& A, const ConstView& factors, const View& B) {
  const auto current = guard();
  kernels::scale_columns(stream_->get(), A, factors, B);
}

void CudaBackend::column_sums(double factor, const ConstView& A, const View& result) {
  const auto current = guard();
  kernels::column_sums(stream_->get(), factor, A, result);
}

void CudaBackend::column_squares(const ConstView& A, bool add, const View& result) {
  const auto current = guard();
  kernels::column_squares(stream_->get(), A, add, result);
}

}  // namespace natgrad
