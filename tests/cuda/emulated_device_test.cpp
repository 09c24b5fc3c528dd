#include "support/emulated_cuda/device_test.hpp"

#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include <cmath>
#include <thread>
#include <vector>

// Queues, blocks and threads of the emulated device.

namespace natgrad::tests {

namespace {

std::vector<double> reversed_parts(std::int64_t blocks, std::int64_t threads) {
  std::vector<double> elements;
  for (std::int64_t i = 0; i < blocks * threads; ++i) {
    elements.push_back(static_cast<double>(i - i % threads + threads - 1 - i % threads));
  }
  return elements;
}

TEST_F(emulated, work_waits_until_the_host_does) {
  const DeviceArray<double> array(100);
  const Stream stream;
  launch(stream.handle, {2}, {32}, Count{array.data, 100, 5});
  EXPECT_EQ(device::queued(), 1);
  EXPECT_TRUE(std::isnan(array.data[0]));
  stream.synchronize();
  EXPECT_EQ(device::queued(), 0);
  EXPECT_EQ(array.elements(), counted(100, 5));
}

TEST_F(emulated, eager_work_does_not_wait) {
  const DeviceArray<double> array(100);
  device::set_eager(true);
  launch(nullptr, {2}, {32}, Count{array.data, 100, 5});
  device::set_eager(false);
  EXPECT_EQ(device::queued(), 0);
  EXPECT_EQ(array.data[99], 104);
}

TEST_F(emulated, streams_are_ordered_by_events_alone) {
  const DeviceArray<double> array(10);
  const Stream first;
  const Stream second;
  cudaEvent_t event;
  ASSERT_EQ(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), cudaSuccess);
  launch(first.handle, {1}, {32}, Count{array.data, 10, 1});
  second.synchronize();
  EXPECT_EQ(device::queued(), 1);
  EXPECT_EQ(cudaEventRecord(event, first.handle), cudaSuccess);
  EXPECT_EQ(cudaStreamWaitEvent(second.handle, event, 0), cudaSuccess);
  launch(second.handle, {1}, {32}, Count{array.data, 5, 100});
  EXPECT_EQ(cudaEventDestroy(event), cudaSuccess);
  second.synchronize();
  EXPECT_EQ(device::queued(), 0);
  const std::vector<double> found = array.elements();
  EXPECT_EQ(found[4], 104);
  EXPECT_EQ(found[5], 6);
}

TEST_F(emulated, an_event_runs_what_stands_before_it) {
  const DeviceArray<double> array(10);
  const Stream stream;
  cudaEvent_t events[2];
  for (cudaEvent_t& event : events) ASSERT_EQ(cudaEventCreate(&event), cudaSuccess);
  EXPECT_EQ(cudaEventQuery(events[0]), cudaSuccess);
  EXPECT_EQ(cudaEventRecord(events[0], stream.handle), cudaSuccess);
  launch(stream.handle, {1}, {32}, Count{array.data, 10, 1});
  EXPECT_EQ(cudaEventRecord(events[1], stream.handle), cudaSuccess);
  launch(stream.handle, {1}, {32}, Count{array.data, 10, 2});
  float milliseconds = -1;
  EXPECT_EQ(cudaEventElapsedTime(&milliseconds, events[0], events[1]), cudaErrorNotReady);
  EXPECT_EQ(cudaEventSynchronize(events[1]), cudaSuccess);
  EXPECT_EQ(device::queued(), 1);
  EXPECT_EQ(array.data[0], 1);
  EXPECT_EQ(cudaEventElapsedTime(&milliseconds, events[0], events[1]), cudaSuccess);
  EXPECT_GE(milliseconds, 0);
  EXPECT_EQ(cudaStreamQuery(stream.handle), cudaSuccess);
  EXPECT_EQ(array.data[0], 2);
  for (cudaEvent_t event : events) EXPECT_EQ(cudaEventDestroy(event), cudaSuccess);
}

TEST_F(emulated, two_threads_run_streams_that_wait_for_each_other) {
  const DeviceArray<double> array(64);
  const Stream streams[2];
  cudaEvent_t event;
  ASSERT_EQ(cudaEventCreate(&event), cudaSuccess);
  for (int round = 0; round < 50; ++round) {
    for (int i = 0; i < 2; ++i) {
      launch(streams[i].handle, {1}, {64}, Reverse{array.data, true});
      EXPECT_EQ(cudaEventRecord(event, streams[i].handle), cudaSuccess);
      EXPECT_EQ(cudaStreamWaitEvent(streams[1 - i].handle, event, 0), cudaSuccess);
    }
  }
  launch(streams[0].handle, {1}, {64}, Count{array.data, 64, 0});
  std::thread other([&] { streams[1].synchronize(); });
  streams[0].synchronize();
  other.join();
  EXPECT_EQ(array.elements(), counted(64));
  EXPECT_EQ(cudaEventDestroy(event), cudaSuccess);
}

TEST_F(emulated, two_threads_have_contexts_of_their_own) {
  const auto work = [](double base) {
    for (int round = 0; round < 20; ++round) {
      const DeviceArray<double> array(256);
      const Stream stream;
      launch(stream.handle, {4}, {64}, Count{array.data, 256, base});
      launch(stream.handle, {4}, {64}, Reverse{array.data, true});
      launch(stream.handle, {4}, {64}, Reverse{array.data, true});
      stream.synchronize();
      EXPECT_EQ(array.elements(), counted(256, base));
    }
  };
  std::thread other(work, 1000);
  work(0);
  other.join();
}

TEST_F(emulated, threads_of_a_block_meet_at_barriers) {
  const DeviceArray<double> array(counted(6 * 64));
  launch(nullptr, {6}, {64}, Reverse{array.data, true});
  EXPECT_EQ(array.elements(), reversed_parts(6, 64));
}

/// A sum in a tree over 256 threads of a block, with a barrier in a loop.
struct TreeSum {
  static constexpr bool synchronizes = true;
  double* result;
  void operator()(const Thread& thread) const {
    double* sums = shared_array<double, 256>();
    const unsigned i = thread.index.y * thread.threads.x + thread.index.x;
    sums[i] = i;
    for (unsigned half = 128; half > 0; half /= 2) {
      barrier();
      if (i < half) sums[i] += sums[i + half];
    }
    if (i == 0) result[thread.block.y * thread.blocks.x + thread.block.x] = sums[0];
  }
};

TEST_F(emulated, blocks_and_threads_have_two_axes) {
  const DeviceArray<double> array(6);
  launch(nullptr, {2, 3}, {32, 8}, TreeSum{array.data});
  EXPECT_EQ(array.elements(), std::vector<double>(6, 255 * 128));
}

/// A block of as many threads as it says that it may have.
struct WideCount : Count {
  static constexpr unsigned most_threads = 512;
};

TEST_F(emulated, a_block_has_no_more_threads_than_its_kernel_allows) {
  const DeviceArray<double> array(512);
  EXPECT_THROW(launch(nullptr, {1}, {512}, Count{array.data, 512, 0}), DeviceError);
  launch(nullptr, {1}, {512}, WideCount{{array.data, 512, 0}});
  EXPECT_EQ(array.elements(), counted(512));
  EXPECT_THROW(launch(nullptr, {1}, {513}, WideCount{{array.data, 512, 0}}), DeviceError);
}

/// Shared memory as a block finds it.
struct FreshShared {
  static constexpr bool synchronizes = false;
  double* out;
  void operator()(const Thread& thread) const {
    float* first = shared_array<float, 8>();
    float* second = shared_array<float, 8, 1>();
    if (thread.index.x == 0) out[thread.block.x] = std::isnan(first[3]) && first != second;
    first[thread.index.x] = second[thread.index.x] = 1;
  }
};

TEST_F(emulated, shared_memory_is_fresh_in_every_block) {
  const DeviceArray<double> array(3);
  Recorder failures;
  launch(nullptr, {3}, {1}, FreshShared{array.data});
  EXPECT_EQ(array.elements(), std::vector<double>(3, 1));
  EXPECT_EQ(failures.count(), 0U);
  launch(nullptr, {1}, {9}, FreshShared{array.data});
  EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess);
  EXPECT_TRUE(failures.has("past a shared array of 32 bytes"));
}

/// The sum over each group's indices, as often as the group's number says: groups go their own
/// ways, and all meet at the end.
struct GroupSums {
  static constexpr bool synchronizes = true;
  unsigned width;
  double* result;
  void operator()(const Thread& thread) const {
    double* sums = shared_array<double, 64>();
    const unsigned i = thread.index.y * thread.threads.x + thread.index.x;
    const unsigned group = i / width;
    double total = 0;
    for (unsigned round = 0; round < group; ++round) {
      sums[i] = i;
      for (unsigned half = width / 2; half > 0; half /= 2) {
        group_barrier(thread, width);
        if (i % width < half) sums[i] += sums[i + half];
      }
      group_barrier(thread, width);
      total += sums[group * width];
      group_barrier(thread, width);
    }
    sums[i] = total;
    barrier();
    result[i] = sums[63 - i];
  }
};

TEST_F(emulated, groups_of_threads_meet_apart_from_others) {
  for (unsigned width : {1U, 2U, 8U, 32U}) {
    SCOPED_TRACE(width);
    const DeviceArray<double> array(64);
    launch(nullptr, {1}, {16, 4}, GroupSums{width, array.data});
    const std::vector<double> sums = array.elements();
    for (unsigned i = 0; i < 64; ++i) {
      const double group = (63 - i) / width;
      const double first = group * width;
      EXPECT_EQ(sums[i], group * width * (first + (width - 1) / 2.0)) << i;
    }
  }
}

/// A group of which one thread has ended, or waits for the whole block.
struct DivergentGroup {
  static constexpr bool synchronizes = true;
  bool at_barrier;
  void operator()(const Thread& thread) const {
    if (thread.index.x != 3)
      group_barrier(thread, 4);
    else if (at_barrier)
      barrier();
  }
};

TEST_F(emulated, a_group_that_is_not_complete_is_a_failure) {
  for (bool at_barrier : {false, true}) {
    Recorder failures;
    launch(nullptr, {1}, {8}, DivergentGroup{at_barrier});
    EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess);
    EXPECT_TRUE(failures.has("barrier was not reached by all"));
  }
  Recorder failures;
  launch(nullptr, {1}, {9}, DivergentGroup{false});
  EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess);
  EXPECT_TRUE(failures.has("a group of 4 threads"));
}

struct DivergentBarrier {
  static constexpr bool synchronizes = true;
  double* unused;
  void operator()(const Thread& thread) const {
    if (thread.index.x != 3) barrier();
  }
};

struct UndeclaredBarrier {
  static constexpr bool synchronizes = false;
  double* unused;
  void operator()(const Thread&) const { barrier(); }
};

TEST_F(emulated, a_barrier_not_reached_by_all_is_a_failure) {
  Recorder failures;
  launch(nullptr, {2}, {8}, DivergentBarrier{nullptr});
  EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess);
  EXPECT_TRUE(failures.has("barrier was not reached by all"));
  launch(nullptr, {1}, {1}, UndeclaredBarrier{nullptr});
  EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess);
  EXPECT_TRUE(failures.has("says that it does not synchronize"));
}

TEST_F(emulated, launches_that_no_device_runs_are_refused) {
  const DeviceArray<double> array(1);
  const Count kernel{array.data, 1, 0};
  EXPECT_THROW(launch(nullptr, {1}, {1025}, kernel), natgrad::DeviceError);
  EXPECT_THROW(launch(nullptr, {1, 65536}, {1}, kernel), natgrad::DeviceError);
  EXPECT_EQ(cudaGetLastError(), cudaSuccess) << "what was thrown is not found again";
}

}  // namespace

}  // namespace natgrad::tests
