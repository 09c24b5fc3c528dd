#pragma once

#include "backend/backend.hpp"
#include "backend/cuda/handles.hpp"
#include "kernels/cuda/intrinsics.hpp"

#include <cstddef>
#include <cstdint>
#include <map>
#include <tuple>
#include <vector>

// Calls of cuBLAS and cuSOLVER on row-major arrays, by their 64-bit entry points; nothing else
// calls them. The libraries read by columns, and so a row-major matrix is its transpose to them:
// the factors of a product change places, and so do triangles.

namespace natgrad::cuda {

/// Matrices of one shape, one after the other.
template <class T>
struct MatrixSeries {
  T* data = nullptr;  // the first
  std::int64_t leading_dimension = 0;
  std::int64_t next = 0;  // numbers from one to the next
};

class Blas {
 public:
  /// Creates the handles on `stream`, whose device is current. `workspace` is device memory that
  /// lives as long as they do.
  Blas(cudaStream_t stream, void* workspace, std::int64_t workspace_bytes);

  /// Goes on on another stream of the device. Throws `DeviceError`.
  void set_stream(cudaStream_t stream);

  /// Destroys the handles, whose device must be current. Nothing may be called afterwards.
  void release();

  /// C (m, n) = alpha op(A) op(B) + beta C, k the inner dimension.
  template <class T>
  void gemm(Transpose ta, Transpose tb, std::int64_t m, std::int64_t n, std::int64_t k, T alpha,
            const T* a, std::int64_t lda, const T* b, std::int64_t ldb, T beta, T* c,
            std::int64_t ldc, MathMode mode) const;

  /// C (m, n) = A B^T + beta C on tensor cores, for `count` of each. `Factor` is float, of which
  /// they take eleven significant bits (TF32), or Half, of which they take all; sums are of float.
  template <class Factor>
  void multiply(std::int64_t m, std::int64_t n, std::int64_t k, const MatrixSeries<const Factor>& a,
                const MatrixSeries<const Factor>& b, float beta, const MatrixSeries<float>& c,
                std::int64_t count) const;

  /// C (m, n) = A B^T + beta C, too, for matrices whose addresses lie on the device.
  template <class Factor>
  void multiply_batched(std::int64_t m, std::int64_t n, std::int64_t k, const void* const* a,
                        std::int64_t lda, const void* const* b, std::int64_t ldb, float beta,
                        void* const* c, std::int64_t ldc, std::int64_t count) const;

  /// One triangle of C (n, n) = alpha op(A) op(A)^T + beta C.
  template <class T>
  void syrk(Triangle triangle, Transpose transpose, std::int64_t n, std::int64_t k, T alpha,
            const T* a, std::int64_t lda, T beta, T* c, std::int64_t ldc, MathMode mode) const;

  /// y = A x for symmetric A (n, n).
  template <class T>
  void symv(Triangle triangle, std::int64_t n, const T* a, std::int64_t lda, const T* x,
            T* y) const;

  /// Factorizes one triangle of a symmetric matrix in place (Cholesky); `info` on the device.
  template <class T>
  void potrf(Triangle triangle, std::int64_t n, T* a, std::int64_t lda, int* info, Scratch scratch);
  template <class T>
  std::int64_t potrf_scratch(Triangle triangle, std::int64_t n, std::int64_t lda) const;

  /// x = A^-1 x with the factor that `potrf` left, for `count` rows x of b; `info` on the device.
  template <class T>
  void potrs(Triangle triangle, std::int64_t n, const T* factor, std::int64_t lda, T* b,
             std::int64_t count, std::int64_t ldb, int* info) const;

  /// Eigenvalues w (n), ascending, and eigenvectors, rows of a, of the symmetric matrix whose lower
  /// triangle is in a; `info` on the device.
  void syevd(std::int64_t n, double* a, std::int64_t lda, double* w, int* info, Scratch scratch);
  std::int64_t syevd_scratch(std::int64_t n, std::int64_t lda) const;

 private:
  /// The workspace that cuSOLVER asks for. The query may wait, and may be forbidden within a
  /// capture: each size is queried once.
  struct Workspace {
    std::size_t device_bytes;
    std::size_t host_bytes;
  };
  using Factorization = std::tuple<Triangle, std::int64_t, std::int64_t, cudaDataType>;  // n, lda
  template <class T>
  Workspace workspace_of_potrf(Triangle triangle, std::int64_t n, std::int64_t lda) const;
  Workspace workspace_of_syevd(std::int64_t n, std::int64_t lda) const;
  void* host_workspace(std::size_t bytes);

  cudaStream_t stream_;
  void* workspace_;
  std::size_t workspace_bytes_;
  BlasHandle blas_;
  SolverHandle solver_;
  SolverParams params_;
  mutable std::map<Factorization, Workspace> workspaces_;
  std::vector<std::vector<std::byte>> host_workspaces_;  // the largest is the last
};

}  // namespace natgrad::cuda
