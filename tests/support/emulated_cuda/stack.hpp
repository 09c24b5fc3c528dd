#pragma once

#include <cstddef>
#include <memory>
#include <ucontext.h>

namespace natgrad::emulated_cuda {

/// A call stack that one host thread switches to and back from, with the sanitizers told.
class Stack {
 public:
  /// The one that the host thread runs on.
  Stack();
  /// A new one that calls entry(argument) when it is first switched to, which must not return.
  Stack(void (*entry)(void*), void* argument);
  ~Stack();
  Stack(const Stack&) = delete;
  Stack& operator=(const Stack&) = delete;

  /// From this stack, the running one, to another; returns when somebody switches back.
  void switch_to(Stack& other);

 private:
  static void begin();
  void jump_to(Stack& other);
  void resume();
  void arrived();

  std::unique_ptr<std::byte[]> memory_;
  void (*entry_)(void*) = nullptr;
  void* argument_ = nullptr;
  ucontext_t context_ = {};
  void* jump_[5] = {};  // where it goes on
  bool started_ = false;
  // What AddressSanitizer and ThreadSanitizer know it by.
  const void* bottom_ = nullptr;
  std::size_t size_ = 0;
  void* fake_stack_ = nullptr;
  void* fiber_ = nullptr;
};

}  // namespace natgrad::emulated_cuda
