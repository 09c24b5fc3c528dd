#pragma once

#include "kernels/cuda/reduce.hpp"

#include <cstdint>

namespace natgrad::kernels {

/// The threads of a block that share one row of outputs (kernels/formulas/likelihoods/lanes.hpp),
/// `threads` of them along x. Sums are taken in double, in an order that depends on nothing else.
struct BlockLanes {
  static constexpr unsigned threads = 128;
  Thread thread;

  NATGRAD_DEVICE std::int64_t index() const { return thread.index.x; }
  NATGRAD_DEVICE static constexpr std::int64_t count() { return threads; }

  template <class T>
  NATGRAD_DEVICE T sum(T value) const {
    return static_cast<T>(combine_threads<threads>(thread, static_cast<double>(value), Plus{}));
  }
  NATGRAD_DEVICE double sum_before(double value) const {
    double* values = shared_array<double, threads, 1>();
    values[thread.index.x] = value;
    barrier();
    double sum = 0;
    for (unsigned i = 0; i < thread.index.x; ++i) sum += values[i];
    barrier();
    return sum;
  }
  template <class T>
  NATGRAD_DEVICE T largest(T value) const {
    return static_cast<T>(combine_threads<threads>(thread, static_cast<double>(value), Larger{}));
  }
  /// Of numbers below 2^53.
  NATGRAD_DEVICE std::int64_t smallest(std::int64_t value) const {
    return static_cast<std::int64_t>(
        -combine_threads<threads>(thread, -static_cast<double>(value), Larger{}));
  }
};

}  // namespace natgrad::kernels
