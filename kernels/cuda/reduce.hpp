#pragma once

#include "kernels/cuda/elementwise.hpp"

#include <cstdint>

// Sums in double whose order depends on sizes alone: a tree within a block, then the blocks in
// turn.

namespace natgrad::kernels {

struct Plus {
  NATGRAD_DEVICE double operator()(double a, double b) const { return a + b; }
};
struct Larger {
  NATGRAD_DEVICE double operator()(double a, double b) const { return a > b ? a : b; }
};
/// NaN where one of them is.
struct Smaller {
  NATGRAD_DEVICE double operator()(double a, double b) const { return a < b || a != a ? a : b; }
};

/// sums[k] += what term(i, own) leaves in own[k], k < count, for i = first, first + step, ... < end
/// in this order, as long as `together` of them are left; returns the next i. So many terms are
/// loaded before any is added: a thread that waits for each gets little from memory.
template <int together, int count, class T, class Term>
NATGRAD_DEVICE std::int64_t add_terms(std::int64_t first, std::int64_t end, std::int64_t step,
                                      T* sums, const Term& term) {
  std::int64_t i = first;
  for (; i + (together - 1) * step < end; i += together * step) {
    T own[together][count];
    for (int k = 0; k < together; ++k) term(i + k * step, own[k]);
    for (int k = 0; k < together; ++k) {
      for (int s = 0; s < count; ++s) sums[s] += own[k][s];
    }
  }
  return i;
}

/// The sum of term(i) over all of these i.
template <class T, class Term>
NATGRAD_DEVICE T sum_of_terms(std::int64_t first, std::int64_t end, std::int64_t step,
                              const Term& term) {
  const auto store = [&](std::int64_t i, T* own) { *own = term(i); };
  T sum = 0;
  first = add_terms<8, 1>(first, end, step, &sum, store);
  first = add_terms<2, 1>(first, end, step, &sum, store);
  add_terms<1, 1>(first, end, step, &sum, store);
  return sum;
}

/// Combines the values of a block's `block_threads` threads, `width` of which, neighbours in a row
/// of the block, make one result each; every one of them gets it, and every thread must come here.
template <unsigned width = block_threads, class Combine>
NATGRAD_DEVICE double combine_threads(const Thread& thread, double value, const Combine& combine) {
  double* values = shared_array<double, block_threads>() + thread.index.y * width;
  const unsigned i = thread.index.x;
  values[i] = value;
  barrier();
  for (unsigned half = width / 2; half > 0; half /= 2) {
    if (i < half) values[i] = combine(values[i], values[i + half]);
    barrier();
  }
  const double result = values[0];
  barrier();
  return result;
}

/// Threads that share a sum of `count` terms: a power of two, so many that each has some.
inline unsigned threads_of_a_sum(std::int64_t count, unsigned most) {
  constexpr std::int64_t least_terms = 16;
  unsigned threads = 1;
  while (2 * threads <= most && 2 * threads * least_terms <= count) threads *= 2;
  return threads;
}

/// The sum of the values of a column of the block's threads, thread.threads.y <= `most` of them, a
/// power of two; every thread must come here, and those with index.y = 0 get it.
template <class T, unsigned columns, unsigned most>
NATGRAD_DEVICE T sum_of_column(const Thread& thread, T value) {
  T* sums = shared_array<T, columns * most>() + thread.index.x;
  const unsigned i = thread.index.y;
  sums[i * columns] = value;
  barrier();
  for (unsigned half = thread.threads.y / 2; half > 0; half /= 2) {
    if (i < half) sums[i * columns] += sums[(i + half) * columns];
    barrier();
  }
  return sums[0];
}

/// Combines what the blocks of an earlier launch left, by one block.
template <class Combine>
NATGRAD_DEVICE double combine_blocks(const Thread& thread, const double* partials,
                                     std::int64_t count, const Combine& combine) {
  double value = 0;
  for (std::int64_t i = thread.index.x; i < count; i += thread.threads.x) {
    value = combine(value, partials[i]);
  }
  return combine_threads(thread, value, combine);
}

/// Blocks of a first pass; the partials of sum k stand at k times as much.
inline constexpr std::int64_t sum_blocks = 1024;
/// Where results stand that only later kernels read.
inline constexpr std::int64_t sum_results = 3 * sum_blocks;
static_assert(sum_results < partial_count);

template <class Terms>
struct SumPartials {
  static constexpr bool synchronizes = true;
  Terms terms;
  std::int64_t count;
  double* partials;
  std::int64_t stride;  // between those of one sum and of the next

  NATGRAD_DEVICE void operator()(const Thread& thread) const {
    double sums[Terms::sums] = {};
    const auto term = [&](std::int64_t i, double* own) { terms.term(i, own); };
    const std::int64_t next = add_terms<Terms::together, Terms::sums>(thread.column(), count,
                                                                      thread.columns(), sums, term);
    add_terms<1, Terms::sums>(next, count, thread.columns(), sums, term);
    for (int k = 0; k < Terms::sums; ++k) {
      const double sum = combine_threads(thread, sums[k], Plus{});
      if (thread.index.x == 0) partials[k * stride + thread.block.x] = sum;
    }
  }
};

/// One block for each sum.
struct SumBlocks {
  static constexpr bool synchronizes = true;
  const double* partials;
  std::int64_t count;
  double* results;

  NATGRAD_DEVICE void operator()(const Thread& thread) const {
    const std::int64_t k = thread.block.x;
    const double sum = combine_blocks(thread, partials + k * sum_blocks, count, Plus{});
    if (thread.index.x == 0) results[k] = sum;
  }
};

/// results[k] = sum over i < count of what `terms.term(i, own)` leaves in own[k], k < Terms::sums;
/// `Terms::together`: as many of them as a thread is to load at a time.
template <class Terms>
void sum(Stream stream, std::int64_t count, const Terms& terms, double* partials, double* results) {
  static_assert(Terms::sums <= 3);
  constexpr std::int64_t terms_of_one_block = 8 * block_threads;
  if (count <= terms_of_one_block) {
    return launch(stream, {}, {block_threads}, SumPartials<Terms>{terms, count, results, 1});
  }
  const unsigned blocks = blocks_for(count, block_threads, sum_blocks);
  launch(stream, {blocks}, {block_threads}, SumPartials<Terms>{terms, count, partials, sum_blocks});
  launch(stream, {Terms::sums}, {block_threads}, SumBlocks{partials, blocks, results});
}

}  // namespace natgrad::kernels
