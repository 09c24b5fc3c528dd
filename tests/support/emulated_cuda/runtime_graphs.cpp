#include "support/emulated_cuda/memory.hpp"
#include "support/emulated_cuda/state.hpp"
#include "support/emulated_cuda/streams.hpp"

#include <cuda_runtime_api.h>

#include <utility>

// Captures and graphs of the runtime: the work of one stream, in its order.

using namespace natgrad::emulated_cuda;

namespace {

struct Graph {
  std::vector<Work> work;
};

Handles<Graph>& graphs() {
  static auto* graphs = new Handles<Graph>;
  return *graphs;
}

Handles<Graph>& runnable_graphs() {
  static auto* graphs = new Handles<Graph>;
  return *graphs;
}

cudaError_t destroy(Handles<Graph>& graphs, void* handle) {
  const Lock lock = lock_state();
  if (!graphs.contains(handle)) return remember(cudaErrorInvalidValue);
  graphs.remove(static_cast<Graph*>(handle));
  return cudaSuccess;
}

}  // namespace

cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status) {
  const Lock lock = lock_state();
  const Queue* queue = find_queue(stream);
  if (queue == nullptr) return remember(cudaErrorInvalidResourceHandle);
  *status = queue->capture == nullptr    ? cudaStreamCaptureStatusNone
            : queue->capture->is_refused ? cudaStreamCaptureStatusInvalidated
                                         : cudaStreamCaptureStatusActive;
  return cudaSuccess;
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
  const Lock lock = lock_state();
  Queue* queue = find_queue(stream);
  if (queue == nullptr) return remember(cudaErrorInvalidResourceHandle);
  if (stream == nullptr || stream == cudaStreamLegacy) {
    return remember(cudaErrorStreamCaptureUnsupported);
  }
  if (queue->capture != nullptr) return remember(cudaErrorIllegalState);
  queue->capture = std::make_unique<Capture>();
  return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  const Lock lock = lock_state();
  *graph = nullptr;
  Queue* queue = find_queue(stream);
  if (queue == nullptr) return remember(cudaErrorInvalidResourceHandle);
  if (queue->capture == nullptr) return remember(cudaErrorIllegalState);
  const auto capture = std::exchange(queue->capture, nullptr);
  if (capture->is_refused) return remember(cudaErrorStreamCaptureInvalidated);
  *graph = reinterpret_cast<cudaGraph_t>(graphs().add({std::move(capture->work)}));
  return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* runnable, cudaGraph_t graph, unsigned long long) {
  const Lock lock = lock_state();
  if (!graphs().contains(graph)) return remember(cudaErrorInvalidValue);
  const Graph& found = *reinterpret_cast<Graph*>(graph);
  *runnable = reinterpret_cast<cudaGraphExec_t>(runnable_graphs().add(found));
  return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t runnable, cudaStream_t stream) {
  Lock lock = lock_state();
  Queue* queue = find_queue(stream);
  if (queue == nullptr) return remember(cudaErrorInvalidResourceHandle);
  if (!runnable_graphs().contains(runnable)) return remember(cudaErrorInvalidValue);
  // A copy: while work runs, another thread may destroy the graph.
  const Graph graph = *reinterpret_cast<Graph*>(runnable);
  for (const Work& work : graph.work) {
    for (const std::int64_t allocation : work.memory) {
      if (is_allocated(allocation)) continue;
      fail("cudaGraphLaunch: ", work.name, " names memory that was freed after the capture");
      return remember(cudaErrorInvalidValue);
    }
  }
  for (const Work& work : graph.work) enqueue(lock, *queue, work);
  return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) { return destroy(graphs(), graph); }

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t runnable) {
  return destroy(runnable_graphs(), runnable);
}
