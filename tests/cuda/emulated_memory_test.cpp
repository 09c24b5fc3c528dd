#include "support/emulated_cuda/device_test.hpp"

#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <vector>

// Memory of the emulated device, and what tests may set.

namespace natgrad::tests {

namespace {

TEST_F(emulated, pointers_know_their_memory) {
  void* data[3];
  ASSERT_EQ(cudaMalloc(&data[0], 100), cudaSuccess);
  ASSERT_EQ(cudaMallocManaged(&data[1], 100, cudaMemAttachGlobal), cudaSuccess);
  ASSERT_EQ(cudaHostAlloc(&data[2], 100, cudaHostAllocDefault), cudaSuccess);
  const cudaMemoryType types[] = {cudaMemoryTypeDevice, cudaMemoryTypeManaged, cudaMemoryTypeHost};
  cudaPointerAttributes attributes;
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(data[i]) % 256, 0U);
    const void* inside = static_cast<const char*>(data[i]) + 99;
    EXPECT_EQ(cudaPointerGetAttributes(&attributes, inside), cudaSuccess);
    EXPECT_EQ(attributes.type, types[i]);
    EXPECT_EQ(attributes.device, 0);
    inside = static_cast<const char*>(data[i]) + 100;
    EXPECT_EQ(cudaPointerGetAttributes(&attributes, inside), cudaSuccess);
    EXPECT_EQ(attributes.type, cudaMemoryTypeUnregistered);
  }
  EXPECT_EQ(cudaPointerGetAttributes(&attributes, &attributes), cudaSuccess);
  EXPECT_EQ(attributes.type, cudaMemoryTypeUnregistered);
  EXPECT_EQ(cudaFree(data[0]), cudaSuccess);
  EXPECT_EQ(cudaFree(data[1]), cudaSuccess);
  EXPECT_EQ(cudaFreeHost(data[2]), cudaSuccess);
}

TEST_F(emulated, freeing_what_is_not_there_is_a_failure) {
  Recorder failures;
  void* data;
  ASSERT_EQ(cudaMalloc(&data, 100), cudaSuccess);
  EXPECT_EQ(cudaFree(static_cast<char*>(data) + 8), cudaErrorInvalidValue);
  EXPECT_TRUE(failures.has("not where its allocation begins"));
  EXPECT_EQ(cudaFreeHost(data), cudaErrorInvalidValue);
  EXPECT_TRUE(failures.has("of another kind"));
  EXPECT_EQ(cudaFree(data), cudaSuccess);
  EXPECT_EQ(failures.count(), 2U);
  EXPECT_EQ(cudaFree(data), cudaErrorInvalidValue);
  EXPECT_EQ(cudaFree(&data), cudaErrorInvalidValue);
  EXPECT_EQ(failures.count(), 4U);
  EXPECT_EQ(cudaFree(nullptr), cudaSuccess);
  cudaGetLastError();
}

TEST_F(emulated, a_failure_that_nobody_hears_of_ends_the_process) {
  testing::GTEST_FLAG(death_test_style) = "threadsafe";
  int here = 0;
  EXPECT_DEATH(cudaFree(&here), "emulated device: cudaFree: .* is no memory of the device's");
}

TEST_F(emulated, freeing_in_order_waits_for_its_stream_alone) {
  Recorder failures;
  const Stream first;
  const Stream second;
  void* data;
  ASSERT_EQ(cudaMallocAsync(&data, 80, first.handle), cudaSuccess);
  launch(first.handle, {1}, {32}, Count{static_cast<double*>(data), 10, 0});
  const std::int64_t before = device::live().allocations;
  EXPECT_EQ(cudaFreeAsync(data, first.handle), cudaSuccess);
  EXPECT_EQ(device::live().allocations, before);
  first.synchronize();
  EXPECT_EQ(device::live().allocations, before - 1);
  EXPECT_EQ(failures.count(), 0U);

  ASSERT_EQ(cudaMallocAsync(&data, 80, first.handle), cudaSuccess);
  launch(second.handle, {1}, {32}, Count{static_cast<double*>(data), 10, 0});
  EXPECT_EQ(cudaFreeAsync(data, first.handle), cudaSuccess);
  EXPECT_EQ(cudaFreeAsync(data, first.handle), cudaErrorInvalidValue);
  EXPECT_TRUE(failures.has("freed before"));
  first.synchronize();
  EXPECT_TRUE(failures.has("queued work names"));
  cudaGetLastError();
}

TEST_F(emulated, a_host_buffer_must_not_change_before_its_copy) {
  Recorder failures;
  const DeviceArray<double> array(4);
  const Stream stream;
  std::vector<double> host = counted(4);
  EXPECT_EQ(cudaMemcpyAsync(array.data, host.data(), 32, cudaMemcpyHostToDevice, stream.handle),
            cudaSuccess);
  stream.synchronize();
  EXPECT_EQ(failures.count(), 0U);
  EXPECT_EQ(cudaMemcpyAsync(array.data, host.data(), 32, cudaMemcpyHostToDevice, stream.handle),
            cudaSuccess);
  host[2] = 7;
  stream.synchronize();
  EXPECT_TRUE(failures.has("changed between the call and its copy"));
}

TEST_F(emulated, copies_and_fills_stay_in_their_memory) {
  Recorder failures;
  const DeviceArray<double> array(4);
  std::vector<double> host(5);
  EXPECT_EQ(cudaMemcpy(host.data(), host.data(), 8, cudaMemcpyDeviceToHost), cudaErrorInvalidValue);
  EXPECT_EQ(failures.count(), 0U);
  EXPECT_EQ(cudaMemcpy(array.data, host.data(), 40, cudaMemcpyHostToDevice), cudaErrorInvalidValue);
  EXPECT_TRUE(failures.has("passes the end of its memory by 8"));
  EXPECT_EQ(cudaMemsetAsync(array.data + 4, 0, 8, nullptr), cudaErrorInvalidValue);
  EXPECT_TRUE(failures.has("no memory of the device's"));
  EXPECT_EQ(cudaMemsetAsync(array.data, 0, 32, nullptr), cudaSuccess);
  EXPECT_EQ(array.elements(), std::vector<double>(4, 0));
  cudaGetLastError();
}

TEST_F(emulated, calls_are_counted) {
  const device::Counters before = device::counters();
  {
    const DeviceArray<double> array(counted(4));
    const DeviceArray<double> other(4);
    const Stream stream;
    EXPECT_EQ(cudaMemcpyAsync(other.data, array.data, 32, cudaMemcpyDefault, stream.handle),
              cudaSuccess);
    launch(stream.handle, {1}, {1}, Count{other.data, 2, 8});
    stream.synchronize();
    EXPECT_EQ(other.elements(), (std::vector<double>{8, 9, 2, 3}));
  }
  const device::Counters after = device::counters();
  EXPECT_EQ(after.allocations - before.allocations, 2);
  EXPECT_EQ(after.frees - before.frees, 2);
  EXPECT_EQ(after.synchronizations - before.synchronizations, 3);
  EXPECT_EQ(after.device_copies - before.device_copies, 2);
  EXPECT_EQ(after.host_copies - before.host_copies, 1);
  EXPECT_EQ(after.launches - before.launches, 1);
  EXPECT_EQ(device::live().streams, 0);
}

TEST_F(emulated, allocations_fail_where_told_and_beyond_memory) {
  void* data[2];
  device::fail_allocation(2);
  EXPECT_EQ(cudaMalloc(&data[0], 8), cudaSuccess);
  EXPECT_EQ(cudaMalloc(&data[1], 8), cudaErrorMemoryAllocation);
  EXPECT_EQ(cudaMalloc(&data[1], 8), cudaSuccess);
  for (void* p : data) EXPECT_EQ(cudaFree(p), cudaSuccess);
  EXPECT_EQ(cudaMalloc(&data[0], std::size_t{1} << 50), cudaErrorMemoryAllocation);
  EXPECT_EQ(cudaPeekAtLastError(), cudaErrorMemoryAllocation);
  EXPECT_EQ(cudaGetLastError(), cudaErrorMemoryAllocation);
  std::size_t free = 0;
  std::size_t total = 0;
  EXPECT_EQ(cudaMemGetInfo(&free, &total), cudaSuccess);
  EXPECT_EQ(free, total - static_cast<std::size_t>(device::live().bytes));
}

TEST_F(emulated, devices_and_drivers_may_be_missing) {
  int count = -1;
  int version = -1;
  device::set_devices(0);
  EXPECT_EQ(cudaGetDeviceCount(&count), cudaErrorNoDevice);
  EXPECT_EQ(count, 0);
  device::set_devices(1);
  for (int driver : {0, 11080}) {
    device::set_driver_version(driver);
    EXPECT_EQ(cudaGetDeviceCount(&count), cudaErrorInsufficientDriver);
    EXPECT_EQ(cudaDriverGetVersion(&version), cudaSuccess);
    EXPECT_EQ(version, driver);
    cudaStream_t stream;
    EXPECT_EQ(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking),
              cudaErrorInsufficientDriver);
  }
  device::set_driver_version(CUDART_VERSION);
  EXPECT_EQ(cudaGetDeviceCount(&count), cudaSuccess);
  EXPECT_EQ(count, 1);
  EXPECT_STREQ(cudaGetErrorName(cudaGetLastError()), "cudaErrorInsufficientDriver");
}

TEST_F(emulated, a_second_device_has_memory_and_streams_of_its_own) {
  device::set_devices(2);
  EXPECT_EQ(cudaSetDevice(2), cudaErrorInvalidDevice);
  EXPECT_EQ(cudaSetDevice(1), cudaSuccess);
  {
    const DeviceArray<double> array(4);
    const Stream stream;
    cudaPointerAttributes attributes;
    EXPECT_EQ(cudaPointerGetAttributes(&attributes, array.data), cudaSuccess);
    EXPECT_EQ(attributes.device, 1);
    int found = -1;
    EXPECT_EQ(cudaStreamGetDevice(stream.handle, &found), cudaSuccess);
    EXPECT_EQ(found, 1);
    EXPECT_EQ(cudaSetDevice(0), cudaSuccess);
    EXPECT_THROW(launch(stream.handle, {1}, {1}, Count{array.data, 4, 0}), natgrad::DeviceError);
  }
  device::set_devices(1);
  cudaGetLastError();
}

}  // namespace

}  // namespace natgrad::tests
