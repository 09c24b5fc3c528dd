#include "support/emulated_cuda/device_test.hpp"

#include <cublas_v2.h>
#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

// Each test holds a fault that the emulated device is there to find, and passes because it does.

namespace natgrad::tests {

namespace {

class planted : public emulated {};

/// The sum of a symmetric matrix of which one triangle is there.
struct SumOfTriangle {
  static constexpr bool synchronizes = false;
  const double* matrix;
  std::int64_t size;
  bool upper;
  double* result;
  void operator()(const Thread&) const {
    double sum = 0;
    for (std::int64_t i = 0; i < size; ++i) {
      sum += matrix[i * size + i];
      for (std::int64_t j = 0; j < i; ++j) sum += 2 * matrix[upper ? j * size + i : i * size + j];
    }
    *result = sum;
  }
};

TEST_F(planted, wrong_triangle) {
  const Libraries libraries;
  const DeviceArray<double> a{1, 2, 3};
  const DeviceArray<double> matrix(9);  // full of NaN, of which the product fills one triangle
  const DeviceArray<double> sum(1);
  const double one = 1;
  const double zero = 0;
  EXPECT_EQ(cublasDsyrk_64(libraries.blas, CUBLAS_FILL_MODE_UPPER, CUBLAS_OP_N, 3, 1, &one, a.data,
                           3, &zero, matrix.data, 3),
            CUBLAS_STATUS_SUCCESS);
  // Upper by columns is lower by rows.
  launch(libraries.stream.handle, {1}, {1}, SumOfTriangle{matrix.data, 3, false, sum.data});
  libraries.stream.synchronize();
  EXPECT_EQ(sum.elements()[0], 36);
  launch(libraries.stream.handle, {1}, {1}, SumOfTriangle{matrix.data, 3, true, sum.data});
  libraries.stream.synchronize();
  EXPECT_TRUE(std::isnan(sum.elements()[0]));
}

TEST_F(planted, missing_barrier) {
  const DeviceArray<double> array(counted(2 * 64));
  const Stream stream;
  launch(stream.handle, {2}, {64}, Reverse{array.data, false});
  stream.synchronize();
  const std::vector<double> found = array.elements();
  EXPECT_TRUE(std::isnan(found[0]));    // in ascending order its partner came later,
  EXPECT_TRUE(std::isnan(found[127]));  // and in descending order too
  EXPECT_FALSE(std::isnan(found[63]));
  EXPECT_FALSE(std::isnan(found[64]));
}

/// What every thread of a block reads from the first or the last one.
struct Broadcast {
  static constexpr bool synchronizes = true;
  double* out;
  bool from_first;
  void operator()(const Thread& thread) const {
    double* value = shared_array<double, 1>();
    if (thread.index.x == (from_first ? 0 : thread.threads.x - 1)) *value = 7;
    out[thread.column()] = *value;
  }
};

TEST_F(planted, missing_barrier_in_either_direction) {
  for (bool from_first : {true, false}) {
    const DeviceArray<double> array(16);
    launch(nullptr, {2}, {8}, Broadcast{array.data, from_first});
    int missed = 0;
    for (double element : array.elements()) missed += std::isnan(element) ? 1 : 0;
    EXPECT_EQ(missed, 7);
  }
}

TEST_F(planted, off_by_one) {
  Recorder failures;
  const DeviceArray<double> array(10);
  const Stream stream;
  launch(stream.handle, {1}, {32}, Count{array.data, 10, 0});
  stream.synchronize();
  EXPECT_EQ(failures.count(), 0U);
  launch(stream.handle, {1}, {32}, Count{array.data, 11, 0});
  stream.synchronize();
  EXPECT_TRUE(failures.has("at byte 80 of an array of 80"));
  launch(stream.handle, {1}, {32}, Count{array.data - 1, 11, 0});
  stream.synchronize();
  EXPECT_TRUE(failures.has("at byte -8 of an array of 80"));
}

TEST_F(planted, freed_while_queued) {
  Recorder failures;
  const Stream stream;
  void* data;
  ASSERT_EQ(cudaMalloc(&data, 80), cudaSuccess);
  launch(stream.handle, {1}, {32}, Count{static_cast<double*>(data), 10, 0});
  stream.synchronize();
  EXPECT_EQ(cudaFree(data), cudaSuccess);
  EXPECT_EQ(failures.count(), 0U);

  ASSERT_EQ(cudaMalloc(&data, 80), cudaSuccess);
  launch(stream.handle, {1}, {32}, Count{static_cast<double*>(data), 10, 0});
  EXPECT_EQ(cudaFree(data), cudaSuccess);
  EXPECT_TRUE(failures.has("queued work names"));
  EXPECT_TRUE(failures.has("Count"));
}

/// Arguments small enough for a function's own memory, and ones whose pointer comes last.
struct OnePointer {
  static constexpr bool synchronizes = false;
  double* data;
  void operator()(const Thread&) const {}
};
struct LatePointer {
  static constexpr bool synchronizes = false;
  double numbers[7];
  int padded;
  double* data;
  void operator()(const Thread&) const {}
};

template <class Kernel>
void expect_named(Kernel kernel) {
  Recorder failures;
  void* data[2];
  for (void*& p : data) ASSERT_EQ(cudaMalloc(&p, 8), cudaSuccess);
  kernel.data = static_cast<double*>(data[0]);
  launch(nullptr, {1}, {1}, kernel);
  EXPECT_EQ(cudaFree(data[1]), cudaSuccess);
  EXPECT_EQ(failures.count(), 0U);
  EXPECT_EQ(cudaFree(data[0]), cudaSuccess);
  EXPECT_EQ(failures.count(), 1U);
  EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess);
}

TEST_F(planted, freed_while_named_anywhere_in_the_arguments) {
  expect_named(OnePointer{});
  expect_named(LatePointer{});
}

TEST_F(planted, freed_while_a_library_call_is_queued) {
  Recorder failures;
  const Libraries libraries;
  const DeviceArray<double> c{1};
  const double one = 1;
  void* data;
  ASSERT_EQ(cudaMalloc(&data, 8), cudaSuccess);
  EXPECT_EQ(cublasDsyrk_64(libraries.blas, CUBLAS_FILL_MODE_LOWER, CUBLAS_OP_N, 1, 1, &one,
                           static_cast<double*>(data), 1, &one, c.data, 1),
            CUBLAS_STATUS_SUCCESS);
  EXPECT_EQ(cudaFree(data), cudaSuccess);
  EXPECT_TRUE(failures.has("cublasDsyrk"));
}

}  // namespace

}  // namespace natgrad::tests
