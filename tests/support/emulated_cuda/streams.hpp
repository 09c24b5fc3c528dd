#pragma once

#include "support/emulated_cuda/memory.hpp"
#include "support/emulated_cuda/state.hpp"

#include <cuda_runtime_api.h>

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <initializer_list>
#include <memory>
#include <string>
#include <vector>

// Queues of work. Every function is called under the state's lock, and gives it up while work runs.

namespace natgrad::emulated_cuda {

/// One call that a stream has not run yet.
struct Work {
  std::string name;
  std::vector<std::int64_t> memory;  // ids of allocations that it names
  std::function<void()> run;         // without the lock
};

/// Work that is recorded for a graph.
struct Capture {
  std::vector<Work> work;
  bool is_refused = false;  // it met a call that no graph can have
};

struct Queue {
  int device = 0;
  unsigned flags = 0;
  std::deque<Work> work;
  std::int64_t enqueued = 0;
  std::int64_t done = 0;
  std::int64_t launches = 0;
  bool running = false;  // in some thread, which has the front of `work`
  std::unique_ptr<Capture> capture = nullptr;
};

/// One point of a stream that events and streams wait for.
struct Record {
  Queue* queue = nullptr;  // alive while not done
  bool done = false;
  std::chrono::steady_clock::time_point time;
};

struct Event {
  int device = 0;
  unsigned flags = 0;
  std::shared_ptr<Record> record;
};

Handles<Queue>& streams();
Handles<Event>& events();

/// The queue of a stream, or nothing for what is no stream. The default stream is the current
/// device's.
Queue* find_queue(cudaStream_t stream);

/// Adds work to a queue, or to the graph that it is captured in.
void enqueue(Lock& lock, Queue& queue, Work work);
/// Whether a queue is captured, with a call that no graph can have: the capture fails then. Events
/// are among these calls, which the device could record.
bool refuse_captured(Queue& queue);
bool refuse_captured(int device);
/// Enqueues a library call or a copy; false, and a failure, where an operand is none.
bool enqueue_call(Lock& lock, Queue& queue, const std::string& name,
                  std::initializer_list<Operand> operands, std::function<void()> run);

/// Runs what a queue holds now.
void drain(Lock& lock, Queue& queue);
void drain(Lock& lock, const std::shared_ptr<Record>& record);
void drain_device(Lock& lock, int device);

/// The name of queued work that names an allocation, or nothing.
std::string queued_work_naming(std::int64_t allocation);
std::int64_t queued_work();

}  // namespace natgrad::emulated_cuda
