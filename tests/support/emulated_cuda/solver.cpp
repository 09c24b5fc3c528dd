#include "support/emulated_cuda/libraries.hpp"

#include <cusolverDn.h>

#include <cstring>
#include <initializer_list>
#include <utility>
#include <vector>

extern "C" {
void spotrf_(const char* uplo, const int* n, float* a, const int* lda, int* info);
void dpotrf_(const char* uplo, const int* n, double* a, const int* lda, int* info);
void spotrs_(const char* uplo, const int* n, const int* nrhs, const float* a, const int* lda,
             float* b, const int* ldb, int* info);
void dpotrs_(const char* uplo, const int* n, const int* nrhs, const double* a, const int* lda,
             double* b, const int* ldb, int* info);
void dsyevd_(const char* jobz, const char* uplo, const int* n, double* a, const int* lda, double* w,
             double* work, const int* lwork, int* iwork, const int* liwork, int* info);
}

// cuSOLVER's Cholesky factorization and eigenvalues on LAPACK's. Its workspaces are written all
// over, so that they must be there and nobody else's.

struct cusolverDnContext {
  int device = 0;
  cudaStream_t stream = nullptr;
};
struct cusolverDnParams {};

using namespace natgrad::emulated_cuda;

namespace {

Handles<cusolverDnContext>& solver_handles() {
  static auto* handles = new Handles<cusolverDnContext>;
  return *handles;
}

Handles<cusolverDnParams>& params_handles() {
  static auto* handles = new Handles<cusolverDnParams>;
  return *handles;
}

/// Device memory always, host memory for odd sizes.
std::int64_t device_workspace(std::int64_t n) { return 1024 + 8 * n; }
std::int64_t host_workspace(std::int64_t n) { return n % 2 == 0 ? 0 : 48; }

bool valid(cublasFillMode_t triangle, std::int64_t n, cudaDataType type, std::int64_t lda) {
  const bool known = triangle == CUBLAS_FILL_MODE_LOWER || triangle == CUBLAS_FILL_MODE_UPPER;
  return known && is_real(type) && is_matrix(n, n, lda);
}

/// Of doubles alone, with their eigenvectors: what the library asks for.
bool valid_eigenvalues(cusolverEigMode_t mode, cublasFillMode_t triangle, std::int64_t n,
                       std::int64_t lda, std::initializer_list<cudaDataType> types) {
  for (const cudaDataType type : types) {
    if (type != CUDA_R_64F) return false;
  }
  return mode == CUSOLVER_EIG_MODE_VECTOR && valid(triangle, n, CUDA_R_64F, lda);
}

cusolverStatus_t check_handles(cusolverDnHandle_t handle, cusolverDnParams_t params) {
  const bool live = solver_handles().contains(handle) && params_handles().contains(params);
  return live ? CUSOLVER_STATUS_SUCCESS : CUSOLVER_STATUS_NOT_INITIALIZED;
}

const char* lapack(cublasFillMode_t triangle) {
  return triangle == CUBLAS_FILL_MODE_LOWER ? "L" : "U";
}

int injected_info() {
  const Lock lock = lock_state();
  return std::exchange(state().failing_info, 0);
}

void factorize(cublasFillMode_t triangle, std::int64_t n, cudaDataType type, void* a,
               std::int64_t lda, int* info) {
  *info = injected_info();
  if (*info != 0 || n == 0) return;
  const int size = static_cast<int>(n);
  const int stride = static_cast<int>(lda);
  if (type == CUDA_R_64F) {
    dpotrf_(lapack(triangle), &size, static_cast<double*>(a), &stride, info);
  } else {
    spotrf_(lapack(triangle), &size, static_cast<float*>(a), &stride, info);
  }
}

void decompose(cublasFillMode_t triangle, std::int64_t n, double* a, std::int64_t lda, double* w,
               int* info) {
  *info = injected_info();
  if (*info != 0 || n == 0) return;
  const int size = static_cast<int>(n);
  const int stride = static_cast<int>(lda);
  std::vector<double> work(1 + 6 * n + 2 * n * n);
  std::vector<int> integers(3 + 5 * n);
  const int work_size = static_cast<int>(work.size());
  const int integers_size = static_cast<int>(integers.size());
  dsyevd_("V", lapack(triangle), &size, a, &stride, w, work.data(), &work_size, integers.data(),
          &integers_size, info);
}

struct Solution {
  cublasFillMode_t triangle;
  int n, nrhs, lda, ldb;
};

void solve(const Solution& s, cudaDataType type, const void* a, void* b, int* info) {
  *info = 0;
  if (s.n == 0 || s.nrhs == 0) return;
  if (type == CUDA_R_64F) {
    dpotrs_(lapack(s.triangle), &s.n, &s.nrhs, static_cast<const double*>(a), &s.lda,
            static_cast<double*>(b), &s.ldb, info);
  } else {
    spotrs_(lapack(s.triangle), &s.n, &s.nrhs, static_cast<const float*>(a), &s.lda,
            static_cast<float*>(b), &s.ldb, info);
  }
}

}  // namespace

namespace natgrad::emulated_cuda {

std::int64_t solver_handle_count() { return solver_handles().size() + params_handles().size(); }

}  // namespace natgrad::emulated_cuda

cusolverStatus_t cusolverDnCreate(cusolverDnHandle_t* handle) {
  const Lock lock = lock_state();
  if (device_status() != cudaSuccess) return CUSOLVER_STATUS_NOT_INITIALIZED;
  if (is_due(state().handles_to_failure)) return CUSOLVER_STATUS_INTERNAL_ERROR;
  *handle = solver_handles().add({.device = current_device()});
  return CUSOLVER_STATUS_SUCCESS;
}

cusolverStatus_t cusolverDnDestroy(cusolverDnHandle_t handle) {
  const Lock lock = lock_state();
  if (!solver_handles().contains(handle)) return CUSOLVER_STATUS_NOT_INITIALIZED;
  solver_handles().remove(handle);
  return CUSOLVER_STATUS_SUCCESS;
}

cusolverStatus_t cusolverDnSetStream(cusolverDnHandle_t handle, cudaStream_t stream) {
  const Lock lock = lock_state();
  if (!solver_handles().contains(handle)) return CUSOLVER_STATUS_NOT_INITIALIZED;
  handle->stream = stream;
  return CUSOLVER_STATUS_SUCCESS;
}

cusolverStatus_t cusolverDnCreateParams(cusolverDnParams_t* params) {
  const Lock lock = lock_state();
  if (is_due(state().handles_to_failure)) return CUSOLVER_STATUS_INTERNAL_ERROR;
  *params = params_handles().add({});
  return CUSOLVER_STATUS_SUCCESS;
}

cusolverStatus_t cusolverDnDestroyParams(cusolverDnParams_t params) {
  const Lock lock = lock_state();
  if (!params_handles().contains(params)) return CUSOLVER_STATUS_NOT_INITIALIZED;
  params_handles().remove(params);
  return CUSOLVER_STATUS_SUCCESS;
}

cusolverStatus_t cusolverDnXpotrf_bufferSize(cusolverDnHandle_t handle, cusolverDnParams_t params,
                                             cublasFillMode_t uplo, std::int64_t n,
                                             cudaDataType dataTypeA, const void*, std::int64_t lda,
                                             cudaDataType computeType, std::size_t* device_bytes,
                                             std::size_t* host_bytes) {
  const Lock lock = lock_state();
  const cusolverStatus_t status = check_handles(handle, params);
  if (status != CUSOLVER_STATUS_SUCCESS) return status;
  if (!valid(uplo, n, dataTypeA, lda) || computeType != dataTypeA) {
    return CUSOLVER_STATUS_INVALID_VALUE;
  }
  *device_bytes = static_cast<std::size_t>(device_workspace(n));
  *host_bytes = static_cast<std::size_t>(host_workspace(n));
  return CUSOLVER_STATUS_SUCCESS;
}

cusolverStatus_t cusolverDnXpotrf(cusolverDnHandle_t handle, cusolverDnParams_t params,
                                  cublasFillMode_t uplo, std::int64_t n, cudaDataType dataTypeA,
                                  void* A, std::int64_t lda, cudaDataType computeType,
                                  void* bufferOnDevice, std::size_t workspaceInBytesOnDevice,
                                  void* bufferOnHost, std::size_t workspaceInBytesOnHost,
                                  int* info) {
  Lock lock = lock_state();
  const cusolverStatus_t status = check_handles(handle, params);
  if (status != CUSOLVER_STATUS_SUCCESS) return status;
  const auto device_bytes = static_cast<std::int64_t>(workspaceInBytesOnDevice);
  const auto host_bytes = static_cast<std::int64_t>(workspaceInBytesOnHost);
  if (!valid(uplo, n, dataTypeA, lda) || computeType != dataTypeA ||
      device_bytes < device_workspace(n) || host_bytes < host_workspace(n)) {
    return CUSOLVER_STATUS_INVALID_VALUE;
  }
  Queue* queue = begin_library_call(handle->stream, handle->device);
  if (queue == nullptr) return CUSOLVER_STATUS_EXECUTION_FAILED;
  if (host_bytes > 0) std::memset(bufferOnHost, 0xFF, workspaceInBytesOnHost);
  const bool known = enqueue_call(lock, *queue, "cusolverDnXpotrf",
                                  {{"A", A, matrix_bytes(n, n, lda, dataTypeA)},
                                   {"the workspace", bufferOnDevice, device_bytes},
                                   {"info", info, sizeof(int)}},
                                  [=] {
                                    std::memset(bufferOnDevice, 0xFF, workspaceInBytesOnDevice);
                                    factorize(uplo, n, dataTypeA, A, lda, info);
                                  });
  return known ? CUSOLVER_STATUS_SUCCESS : CUSOLVER_STATUS_EXECUTION_FAILED;
}

cusolverStatus_t cusolverDnXpotrs(cusolverDnHandle_t handle, cusolverDnParams_t params,
                                  cublasFillMode_t uplo, std::int64_t n, std::int64_t nrhs,
                                  cudaDataType dataTypeA, const void* A, std::int64_t lda,
                                  cudaDataType dataTypeB, void* B, std::int64_t ldb, int* info) {
  Lock lock = lock_state();
  const cusolverStatus_t status = check_handles(handle, params);
  if (status != CUSOLVER_STATUS_SUCCESS) return status;
  if (!valid(uplo, n, dataTypeA, lda) || dataTypeB != dataTypeA || !is_matrix(n, nrhs, ldb)) {
    return CUSOLVER_STATUS_INVALID_VALUE;
  }
  Queue* queue = begin_library_call(handle->stream, handle->device);
  if (queue == nullptr) return CUSOLVER_STATUS_EXECUTION_FAILED;
  const Solution solution{uplo, static_cast<int>(n), static_cast<int>(nrhs), static_cast<int>(lda),
                          static_cast<int>(ldb)};
  const bool known = enqueue_call(lock, *queue, "cusolverDnXpotrs",
                                  {{"A", A, matrix_bytes(n, n, lda, dataTypeA)},
                                   {"B", B, matrix_bytes(n, nrhs, ldb, dataTypeA)},
                                   {"info", info, sizeof(int)}},
                                  [=] { solve(solution, dataTypeA, A, B, info); });
  return known ? CUSOLVER_STATUS_SUCCESS : CUSOLVER_STATUS_EXECUTION_FAILED;
}

cusolverStatus_t cusolverDnXsyevd_bufferSize(cusolverDnHandle_t handle, cusolverDnParams_t params,
                                             cusolverEigMode_t jobz, cublasFillMode_t uplo,
                                             std::int64_t n, cudaDataType dataTypeA, const void*,
                                             std::int64_t lda, cudaDataType dataTypeW, const void*,
                                             cudaDataType computeType, std::size_t* device_bytes,
                                             std::size_t* host_bytes) {
  const Lock lock = lock_state();
  const cusolverStatus_t status = check_handles(handle, params);
  if (status != CUSOLVER_STATUS_SUCCESS) return status;
  if (!valid_eigenvalues(jobz, uplo, n, lda, {dataTypeA, dataTypeW, computeType})) {
    return CUSOLVER_STATUS_INVALID_VALUE;
  }
  *device_bytes = static_cast<std::size_t>(device_workspace(n));
  *host_bytes = static_cast<std::size_t>(host_workspace(n));
  return CUSOLVER_STATUS_SUCCESS;
}

cusolverStatus_t cusolverDnXsyevd(cusolverDnHandle_t handle, cusolverDnParams_t params,
                                  cusolverEigMode_t jobz, cublasFillMode_t uplo, std::int64_t n,
                                  cudaDataType dataTypeA, void* A, std::int64_t lda,
                                  cudaDataType dataTypeW, void* W, cudaDataType computeType,
                                  void* bufferOnDevice, std::size_t workspaceInBytesOnDevice,
                                  void* bufferOnHost, std::size_t workspaceInBytesOnHost,
                                  int* info) {
  Lock lock = lock_state();
  const cusolverStatus_t status = check_handles(handle, params);
  if (status != CUSOLVER_STATUS_SUCCESS) return status;
  const auto device_bytes = static_cast<std::int64_t>(workspaceInBytesOnDevice);
  const auto host_bytes = static_cast<std::int64_t>(workspaceInBytesOnHost);
  if (!valid_eigenvalues(jobz, uplo, n, lda, {dataTypeA, dataTypeW, computeType}) ||
      device_bytes < device_workspace(n) || host_bytes < host_workspace(n)) {
    return CUSOLVER_STATUS_INVALID_VALUE;
  }
  Queue* queue = begin_library_call(handle->stream, handle->device);
  if (queue == nullptr) return CUSOLVER_STATUS_EXECUTION_FAILED;
  if (host_bytes > 0) std::memset(bufferOnHost, 0xFF, workspaceInBytesOnHost);
  const bool known = enqueue_call(lock, *queue, "cusolverDnXsyevd",
                                  {{"A", A, matrix_bytes(n, n, lda, dataTypeA)},
                                   {"W", W, matrix_bytes(n, 1, n, dataTypeW)},
                                   {"the workspace", bufferOnDevice, device_bytes},
                                   {"info", info, sizeof(int)}},
                                  [=] {
                                    std::memset(bufferOnDevice, 0xFF, workspaceInBytesOnDevice);
                                    decompose(uplo, n, static_cast<double*>(A), lda,
                                              static_cast<double*>(W), info);
                                  });
  return known ? CUSOLVER_STATUS_SUCCESS : CUSOLVER_STATUS_EXECUTION_FAILED;
}
