#include "support/emulated_cuda/device_test.hpp"

#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include <vector>

// Captures and graphs of the emulated device.

namespace natgrad::tests {

namespace {

/// What `work` enqueues, ready to be launched.
template <class Work>
cudaGraphExec_t captured(cudaStream_t stream, const Work& work) {
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t runnable = nullptr;
  EXPECT_EQ(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), cudaSuccess);
  work();
  EXPECT_EQ(cudaStreamEndCapture(stream, &graph), cudaSuccess);
  EXPECT_EQ(cudaGraphInstantiate(&runnable, graph, 0), cudaSuccess);
  EXPECT_EQ(cudaGraphDestroy(graph), cudaSuccess);
  return runnable;
}

TEST_F(emulated, a_graph_runs_what_was_captured_as_often_as_it_is_launched) {
  const Stream stream;
  const DeviceArray<double> array{0, 0, 0};
  const DeviceArray<double> other{5, 6, 7};
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusActive;
  EXPECT_EQ(cudaStreamIsCapturing(stream.handle, &status), cudaSuccess);
  EXPECT_EQ(status, cudaStreamCaptureStatusNone);
  const cudaGraphExec_t graph = captured(stream.handle, [&] {
    EXPECT_EQ(cudaStreamIsCapturing(stream.handle, &status), cudaSuccess);
    EXPECT_EQ(status, cudaStreamCaptureStatusActive);
    launch(stream.handle, {1}, {1}, Count{array.data, 2, 8});
    EXPECT_EQ(cudaMemcpyAsync(array.data + 2, other.data, 8, cudaMemcpyDefault, stream.handle),
              cudaSuccess);
  });
  stream.synchronize();
  EXPECT_EQ(array.elements(), (std::vector<double>{0, 0, 0})) << "was run when it was captured";
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(cudaGraphLaunch(graph, stream.handle), cudaSuccess);
    stream.synchronize();
    EXPECT_EQ(array.elements(), (std::vector<double>{8, 9, 5}));
    EXPECT_EQ(cudaMemsetAsync(array.data, 0, array.bytes(), stream.handle), cudaSuccess);
  }
  EXPECT_EQ(cudaGraphExecDestroy(graph), cudaSuccess);
  EXPECT_EQ(cudaGraphExecDestroy(graph), cudaErrorInvalidValue);
  EXPECT_EQ(cudaGraphLaunch(graph, stream.handle), cudaErrorInvalidValue);
  stream.synchronize();
  cudaGetLastError();
}

TEST_F(emulated, a_graph_that_names_freed_memory_is_a_failure) {
  Recorder failures;
  const Stream stream;
  void* data = nullptr;
  ASSERT_EQ(cudaMallocAsync(&data, 80, stream.handle), cudaSuccess);
  const cudaGraphExec_t graph = captured(stream.handle, [&] {
    launch(stream.handle, {1}, {32}, Count{static_cast<double*>(data), 10, 0});
  });
  EXPECT_EQ(cudaGraphLaunch(graph, stream.handle), cudaSuccess);
  EXPECT_EQ(cudaFreeAsync(data, stream.handle), cudaSuccess);
  EXPECT_EQ(failures.count(), 0U);
  EXPECT_EQ(cudaGraphLaunch(graph, stream.handle), cudaErrorInvalidValue);
  EXPECT_TRUE(failures.has("names memory that was freed after the capture"));
  stream.synchronize();
  EXPECT_EQ(cudaGraphExecDestroy(graph), cudaSuccess);
  cudaGetLastError();
}

TEST_F(emulated, what_a_capture_cannot_hold_ends_it) {
  Recorder failures;
  const Stream stream;
  void* data = nullptr;
  void* more = nullptr;
  cudaEvent_t event = nullptr;
  ASSERT_EQ(cudaMallocAsync(&data, 80, stream.handle), cudaSuccess);
  ASSERT_EQ(cudaEventCreate(&event), cudaSuccess);
  const auto refuse = [&](const auto& call) {
    cudaGraph_t graph = nullptr;
    EXPECT_EQ(cudaStreamBeginCapture(stream.handle, cudaStreamCaptureModeThreadLocal), cudaSuccess);
    EXPECT_EQ(cudaStreamBeginCapture(stream.handle, cudaStreamCaptureModeThreadLocal),
              cudaErrorIllegalState);
    EXPECT_EQ(call(), cudaErrorStreamCaptureUnsupported);
    cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
    EXPECT_EQ(cudaStreamIsCapturing(stream.handle, &status), cudaSuccess);
    EXPECT_EQ(status, cudaStreamCaptureStatusInvalidated);
    EXPECT_EQ(cudaStreamEndCapture(stream.handle, &graph), cudaErrorStreamCaptureInvalidated);
    EXPECT_EQ(graph, nullptr);
    EXPECT_EQ(cudaStreamEndCapture(stream.handle, &graph), cudaErrorIllegalState);
  };
  refuse([&] { return cudaStreamSynchronize(stream.handle); });
  refuse([&] { return cudaStreamQuery(stream.handle); });
  refuse([&] { return cudaDeviceSynchronize(); });
  refuse([&] { return cudaEventRecord(event, stream.handle); });
  EXPECT_EQ(failures.count(), 0U);
  refuse([&] { return cudaMallocAsync(&more, 80, stream.handle); });
  EXPECT_TRUE(failures.has("is there only while the graph runs"));
  refuse([&] { return cudaFreeAsync(data, stream.handle); });
  EXPECT_TRUE(failures.has("that the graph did not allocate"));
  EXPECT_EQ(failures.count(), 2U);
  EXPECT_EQ(cudaStreamBeginCapture(nullptr, cudaStreamCaptureModeThreadLocal),
            cudaErrorStreamCaptureUnsupported);
  EXPECT_EQ(cudaEventDestroy(event), cudaSuccess);
  EXPECT_EQ(cudaFreeAsync(data, stream.handle), cudaSuccess);
  cudaGetLastError();
}

}  // namespace

}  // namespace natgrad::tests
