#pragma once

#include "support/emulated_cuda/stack.hpp"

#include <cstddef>
#include <functional>
#include <memory>
#include <vector>

namespace natgrad::emulated_cuda {

/// The threads of a block, as fibers of one host thread. They are kept from block to block.
class Fibers {
 public:
  using Body = std::function<void(std::size_t)>;

  /// Of the calling host thread.
  static Fibers& of_this_thread();

  /// Runs body(0) to body(count - 1) in turn, each up to its next barrier, in ascending or
  /// descending order. Returns how many had ended, or waited at another barrier for ever, when
  /// others waited for them at a barrier, or 0.
  std::size_t run(std::size_t count, bool descending, const Body& body);
  /// In a body: waits until all that have not ended are here.
  void barrier();
  /// In a body: waits until those of its group that have not ended are here; groups are `width`
  /// bodies in turn.
  void group_barrier(std::size_t width);
  /// Whether a body is what runs now.
  bool running() const { return running_ != nullptr; }

 private:
  struct Fiber {
    explicit Fiber(Fibers& fibers) : owner(fibers), stack(&Fibers::enter, this) {}
    Fibers& owner;
    Stack stack;
    const Body* body = nullptr;
    std::size_t index = 0;
    bool ended = true;
    std::size_t first = 0;  // of those that it waits for, with itself
    std::size_t width = 1;
  };
  /// Who waits for a barrier: whether all of them are there, and how many never will be.
  struct Arrivals {
    bool all = true;
    std::size_t ended = 0;
  };

  static void enter(void* fiber);
  void run_to_barrier(Fiber& fiber);
  void wait_for(std::size_t first, std::size_t width);
  Arrivals arrivals_at_barrier_of(const Fiber& fiber) const;

  Stack host_;
  std::vector<std::unique_ptr<Fiber>> fibers_;
  std::vector<Fiber*> next_;
  std::size_t count_ = 0;  // of bodies
  Fiber* running_ = nullptr;
};

}  // namespace natgrad::emulated_cuda
