#include "support/emulated_cuda/fibers.hpp"

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

void Fibers::barrier() {
  Stack& stack = running_->stack;
  stack.switch_to(host_);
}

std::size_t Fibers::run(std::size_t count, bool descending, const Body& body) {
  while (fibers_.size() < count) fibers_.push_back(std::make_unique<Fiber>(*this));
  for (std::size_t i = 0; i < count; ++i) {
    fibers_[i]->body = &body;
    fibers_[i]->index = i;
    fibers_[i]->ended = false;
  }
  std::size_t missing = 0;
  for (std::size_t ended = 0; ended < count;) {
    if (missing == 0) missing = ended;
    for (std::size_t i = 0; i < count; ++i) {
      Fiber& fiber = *fibers_[descending ? count - 1 - i : i];
      if (fiber.ended) continue;
      run_to_barrier(fiber);
      ended += fiber.ended ? 1 : 0;
    }
  }
  return missing;
}

}  // namespace natgrad::emulated_cuda
