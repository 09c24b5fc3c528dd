#include "support/emulated_cuda/libraries.hpp"

#include <cublas_v2.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <functional>
#include <type_traits>
#include <utility>
#include <vector>

extern "C" {
#include <cblas.h>
}

// cuBLAS on the CPU's BLAS. Scalars are the host's and taken at the call; the workspace is written
// to by every call, so that it must be there and nobody else's.

struct cublasContext {
  int device = 0;
  cudaStream_t stream = nullptr;
  std::byte* workspace = nullptr;
  std::int64_t workspace_bytes = 0;
  cublasMath_t math_mode = CUBLAS_DEFAULT_MATH;
};

using namespace natgrad::emulated_cuda;

namespace natgrad::emulated_cuda {

Handles<cublasContext>& blas_handles() {
  static auto* handles = new Handles<cublasContext>;
  return *handles;
}

std::int64_t blas_handle_count() { return blas_handles().size(); }

}  // namespace natgrad::emulated_cuda

namespace {

template <class T>
constexpr cudaDataType type_of = std::is_same_v<T, double> ? CUDA_R_64F : CUDA_R_32F;

/// The function for T of a pair.
template <class T, class Single, class Double>
constexpr auto select(Single single, Double twice) {
  if constexpr (std::is_same_v<T, float>)
    return single;
  else
    return twice;
}

CBLAS_TRANSPOSE cblas(cublasOperation_t t) { return t == CUBLAS_OP_N ? CblasNoTrans : CblasTrans; }
CBLAS_UPLO cblas(cublasFillMode_t t) {
  return t == CUBLAS_FILL_MODE_LOWER ? CblasLower : CblasUpper;
}

bool is_triangle(cublasFillMode_t triangle) {
  return triangle == CUBLAS_FILL_MODE_LOWER || triangle == CUBLAS_FILL_MODE_UPPER;
}

/// The mode that the handle is in; false for one that is none.
bool is_tf32(cublasHandle_t handle) {
  const Lock lock = lock_state();
  return blas_handles().contains(handle) && handle->math_mode == CUBLAS_TF32_TENSOR_OP_MATH;
}

struct MatrixOperand {
  const char* name = nullptr;
  const void* data = nullptr;
  std::int64_t rows = 0;
  std::int64_t columns = 0;
  std::int64_t ld = 1;
  cudaDataType type = CUDA_R_32F;
};

/// From the first to the last.
std::int64_t bytes_of_matrix(const MatrixOperand& m) {
  return matrix_bytes(m.rows, m.columns, m.ld, m.type);
}
std::int64_t numbers_of(const MatrixOperand& m) { return bytes_of_matrix(m) / bytes_of(m.type); }

using Operands = std::array<Operand, 3>;

Operands operands_of(const std::array<MatrixOperand, 3>& matrices) {
  Operands operands{};
  std::transform(matrices.begin(), matrices.end(), operands.begin(), [](const MatrixOperand& m) {
    return Operand{m.name, m.data, bytes_of_matrix(m)};
  });
  return operands;
}

bool are_matrices(const std::array<MatrixOperand, 3>& matrices) {
  return std::all_of(matrices.begin(), matrices.end(),
                     [](const MatrixOperand& m) { return is_matrix(m.rows, m.columns, m.ld); });
}

cublasStatus_t enqueue_blas(cublasHandle_t handle, const char* name, const Operands& operands,
                            std::function<void()> run) {
  Lock lock = lock_state();
  if (!blas_handles().contains(handle)) return CUBLAS_STATUS_NOT_INITIALIZED;
  Queue* queue = begin_library_call(handle->stream, handle->device);
  if (queue == nullptr) return CUBLAS_STATUS_EXECUTION_FAILED;
  std::byte* workspace = handle->workspace;
  const std::int64_t bytes = std::min<std::int64_t>(handle->workspace_bytes, 4096);
  const bool known = enqueue_call(lock, *queue, name,
                                  {operands[0],
                                   operands[1],
                                   operands[2],
                                   {"the workspace", workspace, handle->workspace_bytes}},
                                  [=, run = std::move(run)] {
                                    if (bytes > 0)
                                      std::memset(workspace, 0xFF, static_cast<std::size_t>(bytes));
                                    run();
                                  });
  return known ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_EXECUTION_FAILED;
}

cublasStatus_t enqueue_blas(cublasHandle_t handle, const char* name,
                            const std::array<MatrixOperand, 3>& matrices,
                            std::function<void()> run) {
  if (!are_matrices(matrices)) return CUBLAS_STATUS_INVALID_VALUE;
  return enqueue_blas(handle, name, operands_of(matrices), std::move(run));
}

/// The ten bits of a fraction that TF32 keeps. Cut: a device that rounds loses less.
float cut_to_tf32(float x) {
  const auto bits = std::bit_cast<std::uint32_t>(x);
  if ((bits & 0x7F800000U) == 0x7F800000U) return x;
  return std::bit_cast<float>(bits & ~0x1FFFU);
}

std::vector<float> tf32(const float* a, std::int64_t count) {
  std::vector<float> kept(static_cast<std::size_t>(count));
  std::transform(a, a + count, kept.begin(), cut_to_tf32);
  return kept;
}

float from_half(std::uint16_t bits) {
  const int exponent = bits >> 10 & 31;
  const int fraction = bits & 1023;
  float size = std::ldexp(static_cast<float>(exponent == 0 ? fraction : fraction + 1024),
                          std::max(exponent, 1) - 25);
  if (exponent == 31) size = fraction == 0 ? INFINITY : NAN;
  return (bits & 0x8000) != 0 ? -size : size;
}

/// Factors as tensor cores take them.
std::vector<float> tensor_factor(const void* a, std::int64_t count, cudaDataType type) {
  if (type != CUDA_R_16F) return tf32(static_cast<const float*>(a), count);
  const auto* halves = static_cast<const std::uint16_t*>(a);
  std::vector<float> numbers(static_cast<std::size_t>(count));
  std::transform(halves, halves + count, numbers.begin(), from_half);
  return numbers;
}

struct Product {
  CBLAS_TRANSPOSE transpose_a;
  CBLAS_TRANSPOSE transpose_b;
  int m, n, k;
  int lda, ldb, ldc;
  std::int64_t a_count, b_count;  // elements from the first to the last
  cudaDataType factors;
  bool on_tensor_cores;
};

template <class T>
void multiply(const Product& p, T alpha, const T* a, const T* b, T beta, T* c) {
  select<T>(cblas_sgemm, cblas_dgemm)(CblasColMajor, p.transpose_a, p.transpose_b, p.m, p.n, p.k,
                                      alpha, a, p.lda, b, p.ldb, beta, c, p.ldc);
}

template <class T>
std::function<void()> product_work(const Product& p, const void* alpha, const void* a,
                                   const void* b, const void* beta, void* c) {
  const T alpha_value = *static_cast<const T*>(alpha);
  const T beta_value = *static_cast<const T*>(beta);
  return [=] {
    if constexpr (std::is_same_v<T, float>) {
      if (p.on_tensor_cores) {
        const std::vector<float> a_numbers = tensor_factor(a, p.a_count, p.factors);
        const std::vector<float> b_numbers = tensor_factor(b, p.b_count, p.factors);
        return multiply(p, alpha_value, a_numbers.data(), b_numbers.data(), beta_value,
                        static_cast<float*>(c));
      }
    }
    multiply(p, alpha_value, static_cast<const T*>(a), static_cast<const T*>(b), beta_value,
             static_cast<T*>(c));
  };
}

std::function<void()> product_work(const Product& p, const void* alpha, const void* a,
                                   const void* b, const void* beta, void* c) {
  return (p.factors == CUDA_R_64F ? product_work<double> : product_work<float>)(p, alpha, a, b,
                                                                                beta, c);
}

/// Whether products of these types are had in this arithmetic.
bool multiplies(cudaDataType a, cudaDataType b, cudaDataType c, cublasComputeType_t compute) {
  if (a != b || !is_real(c)) return false;
  if (a == CUDA_R_16F) return c == CUDA_R_32F && compute == CUBLAS_COMPUTE_32F;
  if (a != c) return false;
  if (c == CUDA_R_64F) return compute == CUBLAS_COMPUTE_64F;
  return compute == CUBLAS_COMPUTE_32F || compute == CUBLAS_COMPUTE_32F_FAST_TF32;
}

std::array<MatrixOperand, 3> product_matrices(cublasOperation_t transa, cublasOperation_t transb,
                                              std::int64_t m, std::int64_t n, std::int64_t k,
                                              const void* A, std::int64_t lda, const void* B,
                                              std::int64_t ldb, cudaDataType factors, const void* C,
                                              std::int64_t ldc, cudaDataType result) {
  const bool plain_a = transa == CUBLAS_OP_N;
  const bool plain_b = transb == CUBLAS_OP_N;
  return {{{"A", A, plain_a ? m : k, plain_a ? k : m, lda, factors},
           {"B", B, plain_b ? k : n, plain_b ? n : k, ldb, factors},
           {"C", C, m, n, ldc, result}}};
}

Product product_of(cublasOperation_t transa, cublasOperation_t transb, std::int64_t k,
                   const std::array<MatrixOperand, 3>& matrices, cublasComputeType_t compute) {
  const auto& [A, B, C] = matrices;
  return {cblas(transa),
          cblas(transb),
          static_cast<int>(C.rows),
          static_cast<int>(C.columns),
          static_cast<int>(k),
          static_cast<int>(A.ld),
          static_cast<int>(B.ld),
          static_cast<int>(C.ld),
          numbers_of(A),
          numbers_of(B),
          A.type,
          A.type == CUDA_R_16F || compute == CUBLAS_COMPUTE_32F_FAST_TF32};
}

/// A failure where an operand whose address work has written is no memory of the device's, or not
/// aligned as cuBLAS's documentation asks of batched products in fast arithmetic.
bool can_be_batched(const char* call, const std::array<MatrixOperand, 3>& matrices) {
  const Lock lock = lock_state();
  const Operands operands = operands_of(matrices);
  bool known = false;
  name_operands(call, {operands[0], operands[1], operands[2]}, known);
  for (const MatrixOperand& m : matrices) {
    const bool aligned = reinterpret_cast<std::uintptr_t>(m.data) % 16 == 0;
    if (!aligned) fail(call, ": ", m.name, " (", m.data, ") is not aligned to 16 bytes");
    known = known && aligned;
  }
  return known;
}

template <class T>
cublasStatus_t syrk(const char* name, cublasHandle_t handle, cublasFillMode_t triangle,
                    cublasOperation_t transpose, std::int64_t n, std::int64_t k, const T* alpha,
                    const T* a, std::int64_t lda, const T* beta, T* c, std::int64_t ldc) {
  if (!is_triangle(triangle)) return CUBLAS_STATUS_INVALID_VALUE;
  const bool plain = transpose == CUBLAS_OP_N;
  constexpr cudaDataType type = type_of<T>;
  const MatrixOperand A{"A", a, plain ? n : k, plain ? k : n, lda, type};
  const bool fast = std::is_same_v<T, float> && is_tf32(handle);
  const auto run = [=, alpha = *alpha, beta = *beta](const T* factor) {
    select<T>(cblas_ssyrk, cblas_dsyrk)(CblasColMajor, cblas(triangle), cblas(transpose),
                                        static_cast<int>(n), static_cast<int>(k), alpha, factor,
                                        static_cast<int>(lda), beta, c, static_cast<int>(ldc));
  };
  return enqueue_blas(handle, name, {{A, {"C", c, n, n, ldc, type}}}, [=] {
    if constexpr (std::is_same_v<T, float>) {
      if (fast) return run(tf32(a, numbers_of(A)).data());
    }
    run(a);
  });
}

template <class T>
cublasStatus_t symv(const char* name, cublasHandle_t handle, cublasFillMode_t triangle,
                    std::int64_t n, const T* alpha, const T* a, std::int64_t lda, const T* x,
                    std::int64_t incx, const T* beta, T* y, std::int64_t incy) {
  if (!is_triangle(triangle) || incx < 1 || incy < 1) return CUBLAS_STATUS_INVALID_VALUE;
  constexpr cudaDataType type = type_of<T>;
  return enqueue_blas(
      handle, name,
      {{{"A", a, n, n, lda, type}, {"x", x, 1, n, incx, type}, {"y", y, 1, n, incy, type}}},
      [=, alpha = *alpha, beta = *beta] {
        // Some BLAS multiply what y held by a beta of 0.
        for (std::int64_t i = 0; beta == 0 && i < n; ++i) y[i * incy] = 0;
        select<T>(cblas_ssymv, cblas_dsymv)(
            CblasColMajor, cblas(triangle), static_cast<int>(n), alpha, a, static_cast<int>(lda), x,
            static_cast<int>(incx), beta, y, static_cast<int>(incy));
      });
}

}  // namespace

cublasStatus_t cublasCreate(cublasHandle_t* handle) {
  const Lock lock = lock_state();
  if (device_status() != cudaSuccess) return CUBLAS_STATUS_NOT_INITIALIZED;
  if (is_due(state().handles_to_failure)) return CUBLAS_STATUS_ALLOC_FAILED;
  *handle = blas_handles().add({.device = current_device()});
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasDestroy(cublasHandle_t handle) {
  const Lock lock = lock_state();
  if (!blas_handles().contains(handle)) return CUBLAS_STATUS_NOT_INITIALIZED;
  blas_handles().remove(handle);
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetStream(cublasHandle_t handle, cudaStream_t stream) {
  const Lock lock = lock_state();
  if (!blas_handles().contains(handle)) return CUBLAS_STATUS_NOT_INITIALIZED;
  handle->stream = stream;
  // As cuBLAS does: a workspace is set after the stream.
  handle->workspace = nullptr;
  handle->workspace_bytes = 0;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetWorkspace(cublasHandle_t handle, void* workspace, std::size_t bytes) {
  const Lock lock = lock_state();
  if (!blas_handles().contains(handle)) return CUBLAS_STATUS_NOT_INITIALIZED;
  if (reinterpret_cast<std::uintptr_t>(workspace) % 256 != 0) return CUBLAS_STATUS_INVALID_VALUE;
  handle->workspace = static_cast<std::byte*>(workspace);
  handle->workspace_bytes = static_cast<std::int64_t>(bytes);
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetPointerMode(cublasHandle_t handle, cublasPointerMode_t mode) {
  const Lock lock = lock_state();
  if (!blas_handles().contains(handle)) return CUBLAS_STATUS_NOT_INITIALIZED;
  return mode == CUBLAS_POINTER_MODE_HOST ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_SUPPORTED;
}

cublasStatus_t cublasSetMathMode(cublasHandle_t handle, cublasMath_t mode) {
  const Lock lock = lock_state();
  if (!blas_handles().contains(handle)) return CUBLAS_STATUS_NOT_INITIALIZED;
  if (mode != CUBLAS_DEFAULT_MATH && mode != CUBLAS_TF32_TENSOR_OP_MATH) {
    return CUBLAS_STATUS_NOT_SUPPORTED;
  }
  handle->math_mode = mode;
  return CUBLAS_STATUS_SUCCESS;
}

const char* cublasGetStatusString(cublasStatus_t status) {
  switch (status) {
    case CUBLAS_STATUS_SUCCESS:
      return "CUBLAS_STATUS_SUCCESS";
    case CUBLAS_STATUS_NOT_INITIALIZED:
      return "CUBLAS_STATUS_NOT_INITIALIZED";
    case CUBLAS_STATUS_INVALID_VALUE:
      return "CUBLAS_STATUS_INVALID_VALUE";
    case CUBLAS_STATUS_EXECUTION_FAILED:
      return "CUBLAS_STATUS_EXECUTION_FAILED";
    case CUBLAS_STATUS_NOT_SUPPORTED:
      return "CUBLAS_STATUS_NOT_SUPPORTED";
    default:
      return "unknown cuBLAS status";
  }
}

cublasStatus_t cublasGemmEx_64(cublasHandle_t handle, cublasOperation_t transa,
                               cublasOperation_t transb, std::int64_t m, std::int64_t n,
                               std::int64_t k, const void* alpha, const void* A, cudaDataType Atype,
                               std::int64_t lda, const void* B, cudaDataType Btype,
                               std::int64_t ldb, const void* beta, void* C, cudaDataType Ctype,
                               std::int64_t ldc, cublasComputeType_t computeType,
                               cublasGemmAlgo_t) {
  if (!multiplies(Atype, Btype, Ctype, computeType)) return CUBLAS_STATUS_NOT_SUPPORTED;
  const auto matrices =
      product_matrices(transa, transb, m, n, k, A, lda, B, ldb, Atype, C, ldc, Ctype);
  const Product product = product_of(transa, transb, k, matrices, computeType);
  return enqueue_blas(handle, "cublasGemmEx", matrices,
                      product_work(product, alpha, A, B, beta, C));
}

cublasStatus_t cublasGemmBatchedEx_64(cublasHandle_t handle, cublasOperation_t transa,
                                      cublasOperation_t transb, std::int64_t m, std::int64_t n,
                                      std::int64_t k, const void* alpha, const void* const A[],
                                      cudaDataType Atype, std::int64_t lda, const void* const B[],
                                      cudaDataType Btype, std::int64_t ldb, const void* beta,
                                      void* const C[], cudaDataType Ctype, std::int64_t ldc,
                                      std::int64_t count, cublasComputeType_t computeType,
                                      cublasGemmAlgo_t) {
  if (!multiplies(Atype, Btype, Ctype, computeType) || Ctype != CUDA_R_32F) {
    return CUBLAS_STATUS_NOT_SUPPORTED;
  }
  const auto shapes = product_matrices(transa, transb, m, n, k, nullptr, lda, nullptr, ldb, Atype,
                                       nullptr, ldc, Ctype);
  if (!are_matrices(shapes) || count < 0) return CUBLAS_STATUS_INVALID_VALUE;
  const std::int64_t bytes = count * static_cast<std::int64_t>(sizeof(void*));
  const float scales[] = {*static_cast<const float*>(alpha), *static_cast<const float*>(beta)};
  return enqueue_blas(handle, "cublasGemmBatchedEx",
                      Operands{{{"the addresses of A", A, bytes},
                                {"the addresses of B", B, bytes},
                                {"the addresses of C", C, bytes}}},
                      [=] {
                        // Work that comes before writes the addresses.
                        for (std::int64_t i = 0; i < count; ++i) {
                          const auto matrices =
                              product_matrices(transa, transb, m, n, k, A[i], lda, B[i], ldb, Atype,
                                               C[i], ldc, Ctype);
                          if (!can_be_batched("cublasGemmBatchedEx", matrices)) return;
                          product_work(product_of(transa, transb, k, matrices, computeType),
                                       &scales[0], A[i], B[i], &scales[1], C[i])();
                        }
                      });
}

cublasStatus_t cublasGemmStridedBatchedEx_64(
    cublasHandle_t handle, cublasOperation_t transa, cublasOperation_t transb, std::int64_t m,
    std::int64_t n, std::int64_t k, const void* alpha, const void* A, cudaDataType Atype,
    std::int64_t lda, long long strideA, const void* B, cudaDataType Btype, std::int64_t ldb,
    long long strideB, const void* beta, void* C, cudaDataType Ctype, std::int64_t ldc,
    long long strideC, std::int64_t count, cublasComputeType_t computeType, cublasGemmAlgo_t) {
  if (!multiplies(Atype, Btype, Ctype, computeType) || Ctype != CUDA_R_32F) {
    return CUBLAS_STATUS_NOT_SUPPORTED;
  }
  const auto matrices =
      product_matrices(transa, transb, m, n, k, A, lda, B, ldb, Atype, C, ldc, Ctype);
  const std::array<long long, 3> strides{strideA, strideB, strideC};
  const bool forward = std::ranges::all_of(strides, [](long long next) { return next >= 0; });
  if (!are_matrices(matrices) || count < 0 || !forward) return CUBLAS_STATUS_INVALID_VALUE;
  if (count == 0) return CUBLAS_STATUS_SUCCESS;
  const auto at = [](const MatrixOperand& first, std::int64_t numbers) {
    return static_cast<const std::byte*>(first.data) + numbers * bytes_of(first.type);
  };
  Operands operands = operands_of(matrices);
  for (std::size_t i = 0; i < operands.size(); ++i) {
    operands[i].bytes += (count - 1) * strides[i] * bytes_of(matrices[i].type);
  }
  const Product product = product_of(transa, transb, k, matrices, computeType);
  const float scales[] = {*static_cast<const float*>(alpha), *static_cast<const float*>(beta)};
  return enqueue_blas(handle, "cublasGemmStridedBatchedEx", operands, [=] {
    for (std::int64_t i = 0; i < count; ++i) {
      product_work(product, &scales[0], at(matrices[0], i * strideA), at(matrices[1], i * strideB),
                   &scales[1], static_cast<float*>(C) + i * strideC)();
    }
  });
}

cublasStatus_t cublasSsyrk_64(cublasHandle_t handle, cublasFillMode_t uplo, cublasOperation_t trans,
                              std::int64_t n, std::int64_t k, const float* alpha, const float* A,
                              std::int64_t lda, const float* beta, float* C, std::int64_t ldc) {
  return syrk("cublasSsyrk", handle, uplo, trans, n, k, alpha, A, lda, beta, C, ldc);
}

cublasStatus_t cublasDsyrk_64(cublasHandle_t handle, cublasFillMode_t uplo, cublasOperation_t trans,
                              std::int64_t n, std::int64_t k, const double* alpha, const double* A,
                              std::int64_t lda, const double* beta, double* C, std::int64_t ldc) {
  return syrk("cublasDsyrk", handle, uplo, trans, n, k, alpha, A, lda, beta, C, ldc);
}

cublasStatus_t cublasSsymv_64(cublasHandle_t handle, cublasFillMode_t uplo, std::int64_t n,
                              const float* alpha, const float* A, std::int64_t lda, const float* x,
                              std::int64_t incx, const float* beta, float* y, std::int64_t incy) {
  return symv("cublasSsymv", handle, uplo, n, alpha, A, lda, x, incx, beta, y, incy);
}

cublasStatus_t cublasDsymv_64(cublasHandle_t handle, cublasFillMode_t uplo, std::int64_t n,
                              const double* alpha, const double* A, std::int64_t lda,
                              const double* x, std::int64_t incx, const double* beta, double* y,
                              std::int64_t incy) {
  return symv("cublasDsymv", handle, uplo, n, alpha, A, lda, x, incx, beta, y, incy);
}
