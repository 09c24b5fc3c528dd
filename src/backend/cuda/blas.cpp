#include "backend/cuda/blas.hpp"

#include "kernels/cuda/matrix_elements.hpp"

#include <algorithm>
#include <type_traits>

namespace natgrad::cuda {

namespace {

template <class T>
constexpr cudaDataType type_of = std::is_same_v<T, double>          ? CUDA_R_64F
                                 : std::is_same_v<T, kernels::Half> ? CUDA_R_16F
                                                                    : CUDA_R_32F;

template <class T>
cublasComputeType_t arithmetic_of(MathMode mode) {
  if (std::is_same_v<T, double>) return CUBLAS_COMPUTE_64F;
  return mode == MathMode::tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
}

/// That takes these factors to tensor cores.
template <class Factor>
constexpr cublasComputeType_t tensor_arithmetic =
    std::is_same_v<Factor, kernels::Half> ? CUBLAS_COMPUTE_32F : CUBLAS_COMPUTE_32F_FAST_TF32;

/// Chooses the function for T.
template <class T, class Single, class Double>
constexpr auto select(Single for_float, Double for_double) {
  if constexpr (std::is_same_v<T, float>)
    return for_float;
  else
    return for_double;
}

cublasOperation_t operation(bool transposed) { return transposed ? CUBLAS_OP_T : CUBLAS_OP_N; }

cublasFillMode_t by_columns(Triangle triangle) {
  return triangle == Triangle::lower ? CUBLAS_FILL_MODE_UPPER : CUBLAS_FILL_MODE_LOWER;
}

/// A leading dimension: the libraries want 1 where an array has no columns.
std::int64_t leading(std::int64_t dimension) { return std::max<std::int64_t>(1, dimension); }

template <class T>
View matrix(T* data, std::int64_t rows, std::int64_t columns, std::int64_t leading_dimension) {
  return {data,
          {rows, columns},
          {.leading_dimension = std::max(columns, leading_dimension),
           .device = {.kind = DeviceKind::cuda}}};
}

/// Bytes of a workspace, up to a whole number of elements.
std::int64_t whole_elements(std::size_t bytes) {
  return static_cast<std::int64_t>((bytes + 15) / 16 * 16);
}

}  // namespace

Blas::Blas(cudaStream_t stream, void* workspace, std::int64_t workspace_bytes)
    : stream_(stream),
      workspace_(workspace),
      workspace_bytes_(static_cast<std::size_t>(workspace_bytes)) {
  cublasHandle_t blas = nullptr;
  check_made(cublasCreate(&blas));
  blas_.reset(blas);
  cusolverDnHandle_t solver = nullptr;
  check_made(cusolverDnCreate(&solver));
  solver_.reset(solver);
  set_stream(stream);
  cusolverDnParams_t params = nullptr;
  check_made(cusolverDnCreateParams(&params));
  params_.reset(params);
}

void Blas::set_stream(cudaStream_t stream) {
  check(cublasSetStream(blas_.get(), stream), "set the stream");
  // After the stream, which resets it. With memory that the library does not free, a captured call
  // can be replayed.
  check(cublasSetWorkspace(blas_.get(), workspace_, workspace_bytes_), "set the workspace");
  check(cusolverDnSetStream(solver_.get(), stream), "set the stream");
  stream_ = stream;
}

void Blas::release() {
  params_.reset();
  solver_.reset();
  blas_.reset();
}

template <class T>
void Blas::gemm(Transpose ta, Transpose tb, std::int64_t m, std::int64_t n, std::int64_t k, T alpha,
                const T* a, std::int64_t lda, const T* b, std::int64_t ldb, T beta, T* c,
                std::int64_t ldc, MathMode mode) const {
  if (m == 0 || n == 0) return;
  if (k == 0) {
    return kernels::scale_matrix(stream_, static_cast<double>(beta), matrix(c, m, n, ldc));
  }
  // C^T = op(B)^T op(A)^T.
  check(cublasGemmEx_64(blas_.get(), operation(tb == Transpose::yes),
                        operation(ta == Transpose::yes), n, m, k, &alpha, b, type_of<T>,
                        leading(ldb), a, type_of<T>, leading(lda), &beta, c, type_of<T>,
                        leading(ldc), arithmetic_of<T>(mode), CUBLAS_GEMM_DEFAULT),
        "gemm");
}

template <class Factor>
void Blas::multiply(std::int64_t m, std::int64_t n, std::int64_t k,
                    const MatrixSeries<const Factor>& a, const MatrixSeries<const Factor>& b,
                    float beta, const MatrixSeries<float>& c, std::int64_t count) const {
  if (m == 0 || n == 0) return;
  const float alpha = 1;
  // C^T = B A^T.
  if (count == 1) {
    return check(cublasGemmEx_64(blas_.get(), CUBLAS_OP_T, CUBLAS_OP_N, n, m, k, &alpha, b.data,
                                 type_of<Factor>, leading(b.leading_dimension), a.data,
                                 type_of<Factor>, leading(a.leading_dimension), &beta, c.data,
                                 CUDA_R_32F, leading(c.leading_dimension),
                                 tensor_arithmetic<Factor>, CUBLAS_GEMM_DEFAULT),
                 "gemm on tensor cores");
  }
  check(
      cublasGemmStridedBatchedEx_64(blas_.get(), CUBLAS_OP_T, CUBLAS_OP_N, n, m, k, &alpha, b.data,
                                    type_of<Factor>, leading(b.leading_dimension), b.next, a.data,
                                    type_of<Factor>, leading(a.leading_dimension), a.next, &beta,
                                    c.data, CUDA_R_32F, leading(c.leading_dimension), c.next, count,
                                    tensor_arithmetic<Factor>, CUBLAS_GEMM_DEFAULT),
      "gemms on tensor cores");
}

template <class Factor>
void Blas::multiply_batched(std::int64_t m, std::int64_t n, std::int64_t k, const void* const* a,
                            std::int64_t lda, const void* const* b, std::int64_t ldb, float beta,
                            void* const* c, std::int64_t ldc, std::int64_t count) const {
  if (count == 0) return;
  const float alpha = 1;
  check(cublasGemmBatchedEx_64(blas_.get(), CUBLAS_OP_T, CUBLAS_OP_N, n, m, k, &alpha, b,
                               type_of<Factor>, leading(ldb), a, type_of<Factor>, leading(lda),
                               &beta, c, CUDA_R_32F, leading(ldc), count, tensor_arithmetic<Factor>,
                               CUBLAS_GEMM_DEFAULT),
        "batched gemm on tensor cores");
}

template <class T>
void Blas::syrk(Triangle triangle, Transpose transpose, std::int64_t n, std::int64_t k, T alpha,
                const T* a, std::int64_t lda, T beta, T* c, std::int64_t ldc, MathMode mode) const {
  if (n == 0) return;
  if (k == 0) {
    return kernels::scale_triangle(stream_, triangle == Triangle::lower, static_cast<double>(beta),
                                   matrix(c, n, n, ldc));
  }
  // No argument of this call chooses the arithmetic; the handle's mode does.
  const bool fast = std::is_same_v<T, float> && mode == MathMode::tf32;
  if (fast) check(cublasSetMathMode(blas_.get(), CUBLAS_TF32_TENSOR_OP_MATH), "set the math mode");
  const cublasStatus_t status = select<T>(cublasSsyrk_64, cublasDsyrk_64)(
      blas_.get(), by_columns(triangle), operation(transpose == Transpose::no), n, k, &alpha, a,
      leading(lda), &beta, c, leading(ldc));
  if (fast) check(cublasSetMathMode(blas_.get(), CUBLAS_DEFAULT_MATH), "set the math mode");
  check(status, "syrk");
}

template <class T>
void Blas::symv(Triangle triangle, std::int64_t n, const T* a, std::int64_t lda, const T* x,
                T* y) const {
  if (n == 0) return;
  const T one = 1;
  const T zero = 0;
  check(select<T>(cublasSsymv_64, cublasDsymv_64)(blas_.get(), by_columns(triangle), n, &one, a,
                                                  leading(lda), x, 1, &zero, y, 1),
        "symv");
}

template <class T>
Blas::Workspace Blas::workspace_of_potrf(Triangle triangle, std::int64_t n,
                                         std::int64_t lda) const {
  const Factorization which{triangle, n, lda, type_of<T>};
  if (const auto known = workspaces_.find(which); known != workspaces_.end()) return known->second;
  Workspace asked{};
  check(cusolverDnXpotrf_bufferSize(solver_.get(), params_.get(), by_columns(triangle), n,
                                    type_of<T>, nullptr, leading(lda), type_of<T>,
                                    &asked.device_bytes, &asked.host_bytes),
        "workspace of potrf");
  return workspaces_.emplace(which, asked).first->second;
}

template <class T>
std::int64_t Blas::potrf_scratch(Triangle triangle, std::int64_t n, std::int64_t lda) const {
  if (n == 0) return 0;
  return whole_elements(workspace_of_potrf<T>(triangle, n, lda).device_bytes);
}

/// Memory of the host for cuSOLVER. A block that has become too small is kept: work that is
/// enqueued or captured still reads it.
void* Blas::host_workspace(std::size_t bytes) {
  if (bytes == 0) return nullptr;
  if (host_workspaces_.empty() || host_workspaces_.back().size() < bytes) {
    host_workspaces_.emplace_back(bytes);
  }
  return host_workspaces_.back().data();
}

template <class T>
void Blas::potrf(Triangle triangle, std::int64_t n, T* a, std::int64_t lda, int* info,
                 Scratch scratch) {
  if (n == 0) return check(cudaMemsetAsync(info, 0, sizeof(int), stream_), "potrf of no rows");
  const Workspace work = workspace_of_potrf<T>(triangle, n, lda);
  if (static_cast<std::int64_t>(work.device_bytes) > scratch.bytes) {
    throw DeviceError(detail::message("cuSOLVER: potrf of ", n, " rows needs ", work.device_bytes,
                                      " bytes, was given ", scratch.bytes));
  }
  check(cusolverDnXpotrf(solver_.get(), params_.get(), by_columns(triangle), n, type_of<T>, a,
                         leading(lda), type_of<T>, scratch.data, work.device_bytes,
                         host_workspace(work.host_bytes), work.host_bytes, info),
        "potrf");
}

template <class T>
void Blas::potrs(Triangle triangle, std::int64_t n, const T* factor, std::int64_t lda, T* b,
                 std::int64_t count, std::int64_t ldb, int* info) const {
  if (n == 0 || count == 0) return;
  check(cusolverDnXpotrs(solver_.get(), params_.get(), by_columns(triangle), n, count, type_of<T>,
                         factor, leading(lda), type_of<T>, b, leading(ldb), info),
        "potrs");
}

/// Asked for anew at every call: eigenvalues are no part of a step.
Blas::Workspace Blas::workspace_of_syevd(std::int64_t n, std::int64_t lda) const {
  Workspace asked{};
  check(cusolverDnXsyevd_bufferSize(solver_.get(), params_.get(), CUSOLVER_EIG_MODE_VECTOR,
                                    by_columns(Triangle::lower), n, CUDA_R_64F, nullptr,
                                    leading(lda), CUDA_R_64F, nullptr, CUDA_R_64F,
                                    &asked.device_bytes, &asked.host_bytes),
        "workspace of syevd");
  return asked;
}

std::int64_t Blas::syevd_scratch(std::int64_t n, std::int64_t lda) const {
  return n == 0 ? 0 : whole_elements(workspace_of_syevd(n, lda).device_bytes);
}

void Blas::syevd(std::int64_t n, double* a, std::int64_t lda, double* w, int* info,
                 Scratch scratch) {
  if (n == 0) return check(cudaMemsetAsync(info, 0, sizeof(int), stream_), "syevd of no rows");
  const Workspace work = workspace_of_syevd(n, lda);
  if (static_cast<std::int64_t>(work.device_bytes) > scratch.bytes) {
    throw DeviceError(detail::message("cuSOLVER: syevd of ", n, " rows needs ", work.device_bytes,
                                      " bytes, was given ", scratch.bytes));
  }
  check(cusolverDnXsyevd(solver_.get(), params_.get(), CUSOLVER_EIG_MODE_VECTOR,
                         by_columns(Triangle::lower), n, CUDA_R_64F, a, leading(lda), CUDA_R_64F, w,
                         CUDA_R_64F, scratch.data, work.device_bytes,
                         host_workspace(work.host_bytes), work.host_bytes, info),
        "syevd");
}

#define NATGRAD_INSTANTIATE(T)                                                                     \
  template void Blas::gemm<T>(Transpose, Transpose, std::int64_t, std::int64_t, std::int64_t, T,   \
                              const T*, std::int64_t, const T*, std::int64_t, T, T*, std::int64_t, \
                              MathMode) const;                                                     \
  template void Blas::syrk<T>(Triangle, Transpose, std::int64_t, std::int64_t, T, const T*,        \
                              std::int64_t, T, T*, std::int64_t, MathMode) const;                  \
  template void Blas::symv<T>(Triangle, std::int64_t, const T*, std::int64_t, const T*, T*) const; \
  template void Blas::potrf<T>(Triangle, std::int64_t, T*, std::int64_t, int*, Scratch);           \
  template std::int64_t Blas::potrf_scratch<T>(Triangle, std::int64_t, std::int64_t) const;        \
  template void Blas::potrs<T>(Triangle, std::int64_t, const T*, std::int64_t, T*, std::int64_t,   \
                               std::int64_t, int*) const;
NATGRAD_INSTANTIATE(float)
NATGRAD_INSTANTIATE(double)
#undef NATGRAD_INSTANTIATE

#define NATGRAD_INSTANTIATE(Factor)                                                              \
  template void Blas::multiply<Factor>(                                                          \
      std::int64_t, std::int64_t, std::int64_t, const MatrixSeries<const Factor>&,               \
      const MatrixSeries<const Factor>&, float, const MatrixSeries<float>&, std::int64_t) const; \
  template void Blas::multiply_batched<Factor>(                                                  \
      std::int64_t, std::int64_t, std::int64_t, const void* const*, std::int64_t,                \
      const void* const*, std::int64_t, float, void* const*, std::int64_t, std::int64_t) const;
NATGRAD_INSTANTIATE(float)
NATGRAD_INSTANTIATE(kernels::Half)
#undef NATGRAD_INSTANTIATE

}  // namespace natgrad::cuda
