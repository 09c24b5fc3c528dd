#include "support/emulated_cuda/fibers.hpp"

#include <algorithm>

namespace natgrad::emulated_cuda {

Fibers& Fibers::of_this_thread() {
  static thread_local Fibers fibers;
  return fibers;
}

// One body after another, for a stack is made once.
void Fibers::enter(void* argument) {
  Fiber& fiber = *static_cast<Fiber*>(argument);
  for (;;) {
    (*fiber.body)(fiber.index);
    fiber.ended = true;
    fiber.stack.switch_to(fiber.owner.host_);
  }
}

void Fibers::run_to_barrier(Fiber& fiber) {
  running_ = &fiber;
  host_.switch_to(fiber.stack);
  running_ = nullptr;
}

void Fibers::wait_for(std::size_t first, std::size_t width) {
  running_->first = first;
  running_->width = width;
  Stack& stack = running_->stack;
  stack.switch_to(host_);
}

void Fibers::barrier() { wait_for(0, count_); }

void Fibers::group_barrier(std::size_t width) {
  const std::size_t first = running_->index / width * width;
  wait_for(first, std::min(width, count_ - first));
}

Fibers::Arrivals Fibers::arrivals_at_barrier_of(const Fiber& fiber) const {
  Arrivals arrivals;
  for (std::size_t i = fiber.first; i < fiber.first + fiber.width; ++i) {
    const Fiber& other = *fibers_[i];
    if (other.ended)
      ++arrivals.ended;
    else if (other.first != fiber.first || other.width != fiber.width)
      arrivals.all = false;
  }
  return arrivals;
}

std::size_t Fibers::run(std::size_t count, bool descending, const Body& body) {
  while (fibers_.size() < count) fibers_.push_back(std::make_unique<Fiber>(*this));
  count_ = count;
  for (std::size_t i = 0; i < count; ++i) {
    fibers_[i]->body = &body;
    fibers_[i]->index = i;
    fibers_[i]->ended = false;
    fibers_[i]->first = i;
    fibers_[i]->width = 1;
  }
  std::size_t missing = 0;
  for (;;) {
    // Who goes on is known before the first of them does.
    next_.clear();
    std::size_t waiting = 0;
    const Fiber* last = nullptr;
    Arrivals arrivals;
    for (std::size_t i = 0; i < count; ++i) {
      Fiber& fiber = *fibers_[descending ? count - 1 - i : i];
      if (fiber.ended) continue;
      ++waiting;
      const bool same = last != nullptr && last->first == fiber.first && last->width == fiber.width;
      if (!same) arrivals = arrivals_at_barrier_of(fiber);
      last = &fiber;
      if (missing == 0) missing = arrivals.ended;
      if (arrivals.all) next_.push_back(&fiber);
    }
    if (waiting == 0) return missing;
    if (next_.empty()) {  // at barriers that exclude each other: they go on, for it is known
      if (missing == 0) missing = waiting;
      for (std::size_t i = 0; i < count; ++i) {
        if (!fibers_[i]->ended) next_.push_back(fibers_[i].get());
      }
    }
    for (Fiber* fiber : next_) run_to_barrier(*fiber);
  }
}

}  // namespace natgrad::emulated_cuda
