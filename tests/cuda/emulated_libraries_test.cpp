#include "support/emulated_cuda/device_test.hpp"

#include <cublas_v2.h>
#include <cusolverDn.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

// The emulated cuBLAS and cuSOLVER, on matrices whose results are known.

namespace natgrad::tests {

namespace {

constexpr float nan = std::numeric_limits<float>::quiet_NaN();

TEST_F(emulated, gemm_reads_by_columns) {
  const Libraries libraries;
  const DeviceArray<float> a{1, 2, nan, 3, 4, nan};  // [1 3; 2 4], leading dimension 3
  const DeviceArray<float> b{5, 6, 7, 8};            // [5 7; 6 8]
  const DeviceArray<float> c(4);
  float alpha = 2;
  float beta = 0;
  EXPECT_EQ(cublasGemmEx_64(libraries.blas, CUBLAS_OP_N, CUBLAS_OP_T, 2, 2, 2, &alpha, a.data,
                            CUDA_R_32F, 3, b.data, CUDA_R_32F, 2, &beta, c.data, CUDA_R_32F, 2,
                            CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT),
            CUBLAS_STATUS_SUCCESS);
  alpha = beta = nan;  // taken at the call
  EXPECT_TRUE(std::isnan(c.data[0]));
  libraries.stream.synchronize();
  EXPECT_EQ(c.elements(), (std::vector<float>{52, 76, 60, 88}));
}

TEST_F(emulated, tf32_keeps_eleven_bits) {
  const Libraries libraries;
  const DeviceArray<float> a{1 + 0x1p-12F};
  const DeviceArray<float> c{0};
  const float one = 1;
  const float zero = 0;
  for (auto [type, expected] : {std::pair{CUBLAS_COMPUTE_32F, 1 + 0x1p-11F},
                                std::pair{CUBLAS_COMPUTE_32F_FAST_TF32, 1.0F}}) {
    EXPECT_EQ(cublasGemmEx_64(libraries.blas, CUBLAS_OP_N, CUBLAS_OP_N, 1, 1, 1, &one, a.data,
                              CUDA_R_32F, 1, a.data, CUDA_R_32F, 1, &zero, c.data, CUDA_R_32F, 1,
                              type, CUBLAS_GEMM_DEFAULT),
              CUBLAS_STATUS_SUCCESS);
    libraries.stream.synchronize();
    EXPECT_EQ(c.elements()[0], expected);
  }
}

TEST_F(emulated, halves_are_multiplied_and_summed_in_float) {
  const Libraries libraries;
  // 1, -65504, 2^-24, infinity and two zeros, of three columns
  const DeviceArray<std::uint16_t> a{0x3C00, 0xFBFF, 0x0001, 0x7C00, 0, 0};
  const DeviceArray<std::uint16_t> b{0x3C00, 0x3C01, 0x3C00};  // 1, 1 + 2^-10, 1
  const DeviceArray<float> c{8, nan};
  const float one = 1;
  const auto multiply = [&](cublasComputeType_t type) {
    return cublasGemmEx_64(libraries.blas, CUBLAS_OP_T, CUBLAS_OP_N, 2, 1, 3, &one, a.data,
                           CUDA_R_16F, 3, b.data, CUDA_R_16F, 3, &one, c.data, CUDA_R_32F, 2, type,
                           CUBLAS_GEMM_DEFAULT);
  };
  EXPECT_EQ(multiply(CUBLAS_COMPUTE_32F_FAST_TF32), CUBLAS_STATUS_NOT_SUPPORTED);
  EXPECT_EQ(multiply(CUBLAS_COMPUTE_32F), CUBLAS_STATUS_SUCCESS);
  libraries.stream.synchronize();
  EXPECT_NEAR(c.elements()[0], 9 - 65504 * (1 + 0x1p-10), 0x1p-7);
  EXPECT_TRUE(std::isnan(c.elements()[1]));
  const DeviceArray<float> d(2);
  const float zero = 0;
  EXPECT_EQ(cublasGemmEx_64(libraries.blas, CUBLAS_OP_N, CUBLAS_OP_N, 2, 1, 1, &one, a.data + 2,
                            CUDA_R_16F, 2, b.data, CUDA_R_16F, 1, &zero, d.data, CUDA_R_32F, 2,
                            CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT),
            CUBLAS_STATUS_SUCCESS);
  libraries.stream.synchronize();
  EXPECT_EQ(d.elements(), (std::vector<float>{0x1p-24F, std::numeric_limits<float>::infinity()}));
}

TEST_F(emulated, batched_products_take_aligned_addresses_that_work_wrote) {
  const Libraries libraries;
  const DeviceArray<float> a{1, 2, 3, 4, 5, 6, 7, 8};  // two rows of four
  const DeviceArray<float> c{1, 0, 0, 0, 10, 0, 0, 0};
  const DeviceArray<const void*> left{a.data, a.data + 4};
  const DeviceArray<const void*> right{a.data, a.data};
  const DeviceArray<void*> products{c.data, nullptr};
  const float one = 1;
  const auto multiply = [&] {
    return cublasGemmBatchedEx_64(libraries.blas, CUBLAS_OP_T, CUBLAS_OP_N, 1, 1, 4, &one,
                                  left.data, CUDA_R_32F, 4, right.data, CUDA_R_32F, 4, &one,
                                  products.data, CUDA_R_32F, 1, 2, CUBLAS_COMPUTE_32F_FAST_TF32,
                                  CUBLAS_GEMM_DEFAULT);
  };
  EXPECT_EQ(multiply(), CUBLAS_STATUS_SUCCESS);
  products.data[1] = c.data + 4;
  libraries.stream.synchronize();
  EXPECT_EQ(c.elements(), (std::vector<float>{31, 0, 0, 0, 80, 0, 0, 0}));
  Recorder failures;
  left.data[0] = a.data + 1;
  EXPECT_EQ(multiply(), CUBLAS_STATUS_SUCCESS);
  libraries.stream.synchronize();
  EXPECT_TRUE(failures.has("is not aligned to 16 bytes"));
  left.data[0] = &one;
  EXPECT_EQ(multiply(), CUBLAS_STATUS_SUCCESS);
  libraries.stream.synchronize();
  EXPECT_TRUE(failures.has("is no memory of the device's"));
}

TEST_F(emulated, strided_products_lie_equally_far_apart) {
  const Libraries libraries;
  const DeviceArray<float> a{1, 2, nan, 3, 4};
  const DeviceArray<float> b{5, 6, 7, 8};
  const DeviceArray<float> c{1, nan, nan, 10};
  const float one = 1;
  const auto multiply = [&](long long next, std::int64_t count) {
    return cublasGemmStridedBatchedEx_64(libraries.blas, CUBLAS_OP_T, CUBLAS_OP_N, 1, 1, 2, &one,
                                         a.data, CUDA_R_32F, 2, 3, b.data, CUDA_R_32F, 2, 2, &one,
                                         c.data, CUDA_R_32F, 1, next, count, CUBLAS_COMPUTE_32F,
                                         CUBLAS_GEMM_DEFAULT);
  };
  EXPECT_EQ(multiply(-3, 2), CUBLAS_STATUS_INVALID_VALUE);
  EXPECT_EQ(multiply(3, 2), CUBLAS_STATUS_SUCCESS);
  libraries.stream.synchronize();
  EXPECT_EQ(c.elements()[0], 18);
  EXPECT_EQ(c.elements()[3], 63);
  Recorder failures;
  multiply(3, 3);
  EXPECT_TRUE(failures.has("cublasGemmStridedBatchedEx"));
}

TEST_F(emulated, syrk_and_symv_keep_to_one_triangle) {
  const Libraries libraries;
  const DeviceArray<double> a{1, 2, 3, 4};  // [1 3; 2 4]
  const DeviceArray<double> c{nan, nan, 9, nan};
  const DeviceArray<double> x{1, 10};
  const DeviceArray<double> y(2);
  const double one = 1;
  const double zero = 0;
  EXPECT_EQ(cublasDsyrk_64(libraries.blas, CUBLAS_FILL_MODE_LOWER, CUBLAS_OP_N, 2, 2, &one, a.data,
                           2, &zero, c.data, 2),
            CUBLAS_STATUS_SUCCESS);
  EXPECT_EQ(cublasDsymv_64(libraries.blas, CUBLAS_FILL_MODE_LOWER, 2, &one, c.data, 2, x.data, 1,
                           &zero, y.data, 1),
            CUBLAS_STATUS_SUCCESS);
  libraries.stream.synchronize();
  EXPECT_EQ(c.elements(), (std::vector<double>{10, 14, 9, 20}));
  EXPECT_EQ(y.elements(), (std::vector<double>{150, 214}));
}

template <class T>
cusolverStatus_t factorize(const Libraries& libraries, const DeviceArray<T>& a, std::int64_t n,
                           int* info, const DeviceArray<double>& scratch, std::size_t bytes) {
  constexpr cudaDataType type = sizeof(T) == 8 ? CUDA_R_64F : CUDA_R_32F;
  std::vector<char> host(1024);
  return cusolverDnXpotrf(libraries.solver, libraries.params, CUBLAS_FILL_MODE_UPPER, n, type,
                          a.data, n, type, scratch.data, bytes, host.data(), host.size(), info);
}

TEST_F(emulated, potrf_factorizes_one_triangle_and_potrs_solves) {
  const Libraries libraries;
  const DeviceArray<float> a{4, 7, 2, 5};  // upper: [4 2; . 5], factor [2 1; . 2]
  const DeviceArray<float> b{10, 13};
  const DeviceArray<int> info(1);
  const DeviceArray<double> scratch(1000);
  std::size_t bytes = 0;
  std::size_t host_bytes = 0;
  ASSERT_EQ(cusolverDnXpotrf_bufferSize(libraries.solver, libraries.params, CUBLAS_FILL_MODE_UPPER,
                                        2, CUDA_R_32F, a.data, 2, CUDA_R_32F, &bytes, &host_bytes),
            CUSOLVER_STATUS_SUCCESS);
  EXPECT_GT(bytes, 0U);
  EXPECT_EQ(factorize(libraries, a, 2, info.data, scratch, bytes - 1),
            CUSOLVER_STATUS_INVALID_VALUE);
  EXPECT_EQ(factorize(libraries, a, 2, info.data, scratch, bytes), CUSOLVER_STATUS_SUCCESS);
  EXPECT_EQ(cusolverDnXpotrs(libraries.solver, libraries.params, CUBLAS_FILL_MODE_UPPER, 2, 1,
                             CUDA_R_32F, a.data, 2, CUDA_R_32F, b.data, 2, info.data),
            CUSOLVER_STATUS_SUCCESS);
  libraries.stream.synchronize();
  EXPECT_EQ(info.elements()[0], 0);
  EXPECT_EQ(a.elements(), (std::vector<float>{2, 7, 1, 2}));
  EXPECT_EQ(b.elements(), (std::vector<float>{1.5, 2}));
  EXPECT_TRUE(std::isnan(scratch.elements()[bytes / 8 - 1]));
}

TEST_F(emulated, potrf_reports_pivots_and_what_it_is_told) {
  const Libraries libraries;
  const DeviceArray<double> a{1, 0, 2, 1};  // not positive definite at its second pivot
  const DeviceArray<int> info(1);
  const DeviceArray<double> scratch(1000);
  EXPECT_EQ(factorize(libraries, a, 2, info.data, scratch, scratch.bytes()),
            CUSOLVER_STATUS_SUCCESS);
  libraries.stream.synchronize();
  EXPECT_EQ(info.elements()[0], 2);
  device::fail_factorization(5);
  for (int expected : {5, 0}) {
    const DeviceArray<double> one{9};
    EXPECT_EQ(factorize(libraries, one, 1, info.data, scratch, scratch.bytes()),
              CUSOLVER_STATUS_SUCCESS);
    libraries.stream.synchronize();
    EXPECT_EQ(info.elements()[0], expected);
    EXPECT_EQ(one.elements()[0], expected == 0 ? 3 : 9);
  }
}

TEST_F(emulated, syevd_finds_eigenvectors_of_one_triangle_or_what_it_is_told) {
  const Libraries libraries;
  const DeviceArray<double> w(2);
  const DeviceArray<int> info(1);
  const DeviceArray<double> scratch(1000);
  const auto decompose = [&](const DeviceArray<double>& a, cudaDataType type, std::size_t bytes) {
    std::vector<char> host(1024);
    return cusolverDnXsyevd(libraries.solver, libraries.params, CUSOLVER_EIG_MODE_VECTOR,
                            CUBLAS_FILL_MODE_UPPER, 2, type, a.data, 2, type, w.data, type,
                            scratch.data, bytes, host.data(), host.size(), info.data);
  };
  std::size_t bytes = 0;
  std::size_t host_bytes = 0;
  ASSERT_EQ(
      cusolverDnXsyevd_bufferSize(libraries.solver, libraries.params, CUSOLVER_EIG_MODE_VECTOR,
                                  CUBLAS_FILL_MODE_UPPER, 2, CUDA_R_64F, nullptr, 2, CUDA_R_64F,
                                  nullptr, CUDA_R_64F, &bytes, &host_bytes),
      CUSOLVER_STATUS_SUCCESS);
  EXPECT_GT(bytes, 0U);
  const DeviceArray<double> a{2, nan, 1, 2};  // upper: [2 1; . 2]
  EXPECT_EQ(decompose(a, CUDA_R_64F, bytes - 1), CUSOLVER_STATUS_INVALID_VALUE);
  EXPECT_EQ(decompose(a, CUDA_R_32F, bytes), CUSOLVER_STATUS_INVALID_VALUE);
  device::fail_factorization(3);
  for (const int expected : {3, 0}) {
    EXPECT_EQ(decompose(a, CUDA_R_64F, bytes), CUSOLVER_STATUS_SUCCESS);
    libraries.stream.synchronize();
    EXPECT_EQ(info.elements()[0], expected);
    EXPECT_EQ(a.elements()[0] == 2, expected == 3);
  }
  EXPECT_NEAR(w.elements()[0], 1, 1e-15);
  EXPECT_NEAR(w.elements()[1], 3, 1e-15);
  EXPECT_NEAR(a.elements()[0], -a.elements()[1], 1e-15);
  EXPECT_NEAR(a.elements()[2], a.elements()[3], 1e-15);
}

TEST_F(emulated, handles_can_fail_and_are_counted) {
  cublasHandle_t blas = nullptr;
  cusolverDnHandle_t solver = nullptr;
  device::fail_handle(1);
  EXPECT_EQ(cublasCreate(&blas), CUBLAS_STATUS_ALLOC_FAILED);
  device::fail_handle(1);
  EXPECT_EQ(cusolverDnCreate(&solver), CUSOLVER_STATUS_INTERNAL_ERROR);
  {
    const Libraries libraries;
    EXPECT_EQ(device::live().handles, 3);
  }
  EXPECT_EQ(device::live().handles, 0);
}

TEST_F(emulated, host_memory_is_no_operand) {
  Recorder failures;
  const Libraries libraries;
  const DeviceArray<double> c(1);
  const double one = 1;
  EXPECT_EQ(cublasDsyrk_64(libraries.blas, CUBLAS_FILL_MODE_LOWER, CUBLAS_OP_N, 1, 1, &one, &one, 1,
                           &one, c.data, 1),
            CUBLAS_STATUS_EXECUTION_FAILED);
  EXPECT_TRUE(failures.has("A ("));
}

}  // namespace

}  // namespace natgrad::tests
