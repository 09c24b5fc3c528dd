#include "support/emulated_cuda/memory.hpp"
#include "support/emulated_cuda/state.hpp"
#include "support/emulated_cuda/streams.hpp"

#include <cuda_runtime_api.h>

#include <chrono>
#include <memory>

// Streams and events of the runtime.

using namespace natgrad::emulated_cuda;

namespace {

cudaStream_t handle_of(Queue* queue) { return reinterpret_cast<cudaStream_t>(queue); }

Event* find_event(cudaEvent_t event) {
  return events().contains(event) ? reinterpret_cast<Event*>(event) : nullptr;
}

/// Runs when the stream comes to it.
void reach(const std::shared_ptr<Record>& record) {
  const Lock lock = lock_state();
  record->done = true;
  record->time = std::chrono::steady_clock::now();
}

void wait_for(const std::shared_ptr<Record>& record) {
  Lock lock = lock_state();
  drain(lock, record);
}

}  // namespace

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) {
  const Lock lock = lock_state();
  const cudaError_t status = device_status();
  if (status != cudaSuccess) return remember(status);
  Queue queue;
  queue.device = current_device();
  queue.flags = flags;
  *stream = handle_of(streams().add(std::move(queue)));
  return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  Lock lock = lock_state();
  if (!streams().contains(stream)) return remember(cudaErrorInvalidResourceHandle);
  Queue* queue = find_queue(stream);
  drain(lock, *queue);
  streams().remove(queue);
  check_fences();
  return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  Lock lock = lock_state();
  Queue* queue = find_queue(stream);
  if (queue == nullptr) return remember(cudaErrorInvalidResourceHandle);
  ++state().counters.synchronizations;
  if (refuse_captured(*queue)) return remember(cudaErrorStreamCaptureUnsupported);
  drain(lock, *queue);
  check_fences();
  return cudaSuccess;
}

cudaError_t cudaStreamQuery(cudaStream_t stream) {
  Lock lock = lock_state();
  Queue* queue = find_queue(stream);
  if (queue == nullptr) return remember(cudaErrorInvalidResourceHandle);
  if (refuse_captured(*queue)) return remember(cudaErrorStreamCaptureUnsupported);
  drain(lock, *queue);
  return cudaSuccess;
}

cudaError_t cudaStreamGetDevice(cudaStream_t stream, int* device) {
  const Lock lock = lock_state();
  const Queue* queue = find_queue(stream);
  if (queue == nullptr) return remember(cudaErrorInvalidResourceHandle);
  *device = queue->device;
  return cudaSuccess;
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  Lock lock = lock_state();
  Queue* queue = find_queue(stream);
  const Event* found = find_event(event);
  if (queue == nullptr || found == nullptr) return remember(cudaErrorInvalidResourceHandle);
  if (refuse_captured(*queue)) return remember(cudaErrorStreamCaptureUnsupported);
  if (found->record == nullptr) return cudaSuccess;
  enqueue(lock, *queue,
          {"cudaStreamWaitEvent", {}, [record = found->record] { wait_for(record); }});
  return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags) {
  const Lock lock = lock_state();
  const cudaError_t status = device_status();
  if (status != cudaSuccess) return remember(status);
  Event made{.device = current_device(), .flags = flags, .record = nullptr};
  *event = reinterpret_cast<cudaEvent_t>(events().add(std::move(made)));
  return cudaSuccess;
}

cudaError_t cudaEventCreate(cudaEvent_t* event) {
  return cudaEventCreateWithFlags(event, cudaEventDefault);
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  const Lock lock = lock_state();
  Event* found = find_event(event);
  if (found == nullptr) return remember(cudaErrorInvalidResourceHandle);
  events().remove(found);
  return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  Lock lock = lock_state();
  Queue* queue = find_queue(stream);
  Event* found = find_event(event);
  if (queue == nullptr || found == nullptr || found->device != queue->device) {
    return remember(cudaErrorInvalidResourceHandle);
  }
  if (refuse_captured(*queue)) return remember(cudaErrorStreamCaptureUnsupported);
  auto record = std::make_shared<Record>();
  record->queue = queue;
  found->record = record;
  enqueue(lock, *queue, {"cudaEventRecord", {}, [record] { reach(record); }});
  return cudaSuccess;
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  Lock lock = lock_state();
  const Event* found = find_event(event);
  if (found == nullptr) return remember(cudaErrorInvalidResourceHandle);
  ++state().counters.synchronizations;
  const std::shared_ptr<Record> record = found->record;
  if (record != nullptr) drain(lock, record);
  check_fences();
  return cudaSuccess;
}

cudaError_t cudaEventQuery(cudaEvent_t event) {
  Lock lock = lock_state();
  const Event* found = find_event(event);
  if (found == nullptr) return remember(cudaErrorInvalidResourceHandle);
  const std::shared_ptr<Record> record = found->record;
  if (record != nullptr) drain(lock, record);
  return cudaSuccess;
}

cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t start, cudaEvent_t end) {
  const Lock lock = lock_state();
  const Event* events[] = {find_event(start), find_event(end)};
  for (const Event* event : events) {
    const bool timed = event != nullptr && event->record != nullptr &&
                       (event->flags & cudaEventDisableTiming) == 0;
    if (!timed) return remember(cudaErrorInvalidResourceHandle);
    if (!event->record->done) return remember(cudaErrorNotReady);
  }
  const auto passed = events[1]->record->time - events[0]->record->time;
  *milliseconds = std::chrono::duration<float, std::milli>(passed).count();
  return cudaSuccess;
}
