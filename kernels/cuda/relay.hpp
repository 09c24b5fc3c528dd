#pragma once

#include "kernels/cuda/cholesky.hpp"

namespace natgrad::kernels {

/// How blocks of a solve hand on what they find: block q takes the q-th ticket and publishes 64
/// numbers, for which later blocks wait. Tickets, not block indices, order the blocks, because only
/// a block that runs can take one, so that a block waits for running blocks alone. The kernel that
/// runs between two solves of a kind resets that kind's numbers to `unpublished` and its ticket to
/// 0: the factorization's first step, and the solve of the other kind.
struct Relay {
  float* numbers;  // (blocks, 64)
  int* ticket;

  /// For all threads of a block, by the first of them.
  NATGRAD_DEVICE std::int64_t take(const Thread& thread) const {
    int* const own = shared_array<int, 1>();
    if (thread.index.x == 0) *own = take_ticket(ticket);
    barrier();
    return *own;
  }
  NATGRAD_DEVICE void clear(const Thread& thread, std::int64_t block) const {
    if (thread.index.x < cholesky_rows) {
      reinterpret_cast<unsigned*>(numbers)[block * cholesky_rows + thread.index.x] = unpublished;
    }
    if (thread.index.x == 0 && block == 0) *ticket = 0;
  }
};

}  // namespace natgrad::kernels
