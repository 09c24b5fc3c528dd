#include "support/emulated_cuda/streams.hpp"

#include <algorithm>
#include <map>
#include <utility>

namespace natgrad::emulated_cuda {

namespace {

/// The legacy default stream of every device.
std::map<int, Queue>& default_queues() {
  static auto* queues = new std::map<int, Queue>;
  return *queues;
}

template <class Body>
void for_each_queue(const Body& body) {
  for (auto& [device, queue] : default_queues()) body(queue);
  for (const auto& [handle, queue] : streams().all()) body(*queue);
}

/// Runs a queue until `number` pieces of work are done, unless another thread is at it already.
void drain(Lock& lock, Queue& queue, std::int64_t number) {
  while (queue.done < number) {
    if (queue.running) {
      state().changed.wait(lock);
      continue;
    }
    queue.running = true;
    // It stays in the queue while it runs, for it still uses the memory that it names.
    Work& next = queue.work.front();
    lock.unlock();
    next.run();
    lock.lock();
    queue.work.pop_front();
    ++queue.done;
    queue.running = false;
    state().changed.notify_all();
  }
}

}  // namespace

Handles<Queue>& streams() {
  static auto* streams = new Handles<Queue>;
  return *streams;
}

Handles<Event>& events() {
  static auto* events = new Handles<Event>;
  return *events;
}

Queue* find_queue(cudaStream_t stream) {
  if (stream == nullptr || stream == cudaStreamLegacy) {
    const int device = current_device();
    Queue& queue = default_queues()[device];
    queue.device = device;
    return &queue;
  }
  return streams().contains(stream) ? reinterpret_cast<Queue*>(stream) : nullptr;
}

bool refuse_captured(Queue& queue) {
  if (queue.capture == nullptr) return false;
  queue.capture->is_refused = true;
  return true;
}

bool refuse_captured(int device) {
  bool refused = false;
  for (const auto& [handle, queue] : streams().all()) {
    if (queue->device == device && refuse_captured(*queue)) refused = true;
  }
  return refused;
}

void enqueue(Lock& lock, Queue& queue, Work work) {
  if (queue.capture != nullptr) return queue.capture->work.push_back(std::move(work));
  queue.work.push_back(std::move(work));
  ++queue.enqueued;
  if (state().eager) drain(lock, queue);
}

bool enqueue_call(Lock& lock, Queue& queue, const std::string& name,
                  std::initializer_list<Operand> operands, std::function<void()> run) {
  bool known = false;
  std::vector<std::int64_t> memory = name_operands(name, operands, known);
  if (known) enqueue(lock, queue, {name, std::move(memory), std::move(run)});
  return known;
}

void drain(Lock& lock, Queue& queue) { drain(lock, queue, queue.enqueued); }

void drain(Lock& lock, const std::shared_ptr<Record>& record) {
  // Its queue may be gone once it is done.
  while (!record->done) {
    if (record->queue->running) {
      state().changed.wait(lock);
    } else {
      drain(lock, *record->queue, record->queue->done + 1);
    }
  }
}

void drain_device(Lock& lock, int device) {
  const auto default_queue = default_queues().find(device);
  if (default_queue != default_queues().end()) drain(lock, default_queue->second);
  // Other threads may destroy their streams in the meantime.
  std::vector<std::shared_ptr<Queue>> waiting;
  for (const auto& [handle, queue] : streams().all()) {
    if (queue->device == device) waiting.push_back(queue);
  }
  for (const auto& queue : waiting) drain(lock, *queue);
}

std::string queued_work_naming(std::int64_t allocation) {
  std::string name;
  for_each_queue([&](const Queue& queue) {
    for (const Work& work : queue.work) {
      const auto& memory = work.memory;
      if (std::find(memory.begin(), memory.end(), allocation) != memory.end()) name = work.name;
    }
  });
  return name;
}

std::int64_t queued_work() {
  std::int64_t count = 0;
  for_each_queue([&](const Queue& queue) { count += queue.enqueued - queue.done; });
  return count;
}

std::int64_t queued() {
  const Lock lock = lock_state();
  return queued_work();
}

}  // namespace natgrad::emulated_cuda
