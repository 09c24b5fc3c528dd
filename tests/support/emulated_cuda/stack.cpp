#include "support/emulated_cuda/stack.hpp"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#elif defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>
#endif

#define NATGRAD_NOT_INSTRUMENTED __attribute__((noinline, no_sanitize("address", "thread")))

namespace natgrad::emulated_cuda {

namespace {

constexpr std::size_t stack_bytes = 64 << 10;

/// The stacks of the latest switch.
thread_local Stack* left = nullptr;
thread_local Stack* entered = nullptr;

}  // namespace

Stack::Stack() : started_(true) {
#if defined(__SANITIZE_THREAD__)
  fiber_ = __tsan_get_current_fiber();
#endif
}

Stack::Stack(void (*entry)(void*), void* argument)
    : memory_(new std::byte[stack_bytes]), entry_(entry), argument_(argument) {
  getcontext(&context_);
  context_.uc_stack.ss_sp = memory_.get();
  context_.uc_stack.ss_size = stack_bytes;
  makecontext(&context_, &Stack::begin, 0);
  bottom_ = memory_.get();
  size_ = stack_bytes;
#if defined(__SANITIZE_THREAD__)
  fiber_ = __tsan_create_fiber(0);
#endif
}

Stack::~Stack() {
#if defined(__SANITIZE_THREAD__)
  if (memory_ != nullptr) __tsan_destroy_fiber(fiber_);
#endif
}

void Stack::begin() {
  Stack& stack = *entered;
  stack.arrived();
  stack.entry_(stack.argument_);
}

void Stack::switch_to(Stack& other) {
  left = this;
  entered = &other;
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(&fake_stack_, other.bottom_, other.size_);
#elif defined(__SANITIZE_THREAD__)
  __tsan_switch_to_fiber(other.fiber_, 0);
#endif
  jump_to(other);
  arrived();
}

void Stack::arrived() {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(fake_stack_, &left->bottom_, &left->size_);
#endif
}

// swapcontext asks the kernel for the signal mask at every switch, and AddressSanitizer's clears
// the shadow of the whole stack there; longjmp is checked by both it and the C library, and
// refused. Kernels switch once a thread and barrier, so that the compiler's own pair is used, which
// saves three registers. Each of the two needs a function of its own.
NATGRAD_NOT_INSTRUMENTED void Stack::jump_to(Stack& other) {
  if (__builtin_setjmp(jump_) != 0) return;
  other.resume();
}

NATGRAD_NOT_INSTRUMENTED void Stack::resume() {
  if (started_) __builtin_longjmp(jump_, 1);
  started_ = true;
  setcontext(&context_);
}

}  // namespace natgrad::emulated_cuda
