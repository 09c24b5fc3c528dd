#pragma once

#include "kernels/cuda/reduce.hpp"

#include <cstdint>

namespace natgrad::kernels {

/// The threads that share one row of outputs (kernels/formulas/likelihoods/lanes.hpp): those of a
/// block with the same index.y. They are a power of two, at least two outputs to each: of few
/// outputs a warp takes several rows, from 64 on one, and of many a block takes one. Only a row's
/// own threads wait for each other. Sums are taken in double, in an order that depends on the
/// number of outputs alone.
struct RowLanes {
  static constexpr unsigned block = 128;
  Thread thread;

  /// Of a block, for rows of so many outputs.
  static Extent threads(std::int64_t outputs) {
    unsigned width = 1;
    while (width < warp && outputs >= std::int64_t{4} * width) width *= 2;
    if (outputs >= std::int64_t{2} * block) width = block;
    return {width, block / width};
  }

  NATGRAD_DEVICE std::int64_t index() const { return thread.index.x; }
  NATGRAD_DEVICE std::int64_t count() const { return thread.threads.x; }

  NATGRAD_DEVICE void wait() const {
    if (thread.threads.x <= warp)
      group_barrier(thread, thread.threads.x);
    else
      barrier();
  }
  template <class T>
  NATGRAD_DEVICE T sum(T value) const {
    return static_cast<T>(combined(static_cast<double>(value), Plus{}));
  }
  NATGRAD_DEVICE double sum_before(double value) const {
    double* values = values_of_row();
    values[thread.index.x] = value;
    wait();
    double sum = 0;
    for (unsigned i = 0; i < thread.index.x; ++i) sum += values[i];
    wait();
    return sum;
  }
  template <class T>
  NATGRAD_DEVICE T largest(T value) const {
    return static_cast<T>(combined(static_cast<double>(value), Larger{}));
  }
  /// Of numbers below 2^53.
  NATGRAD_DEVICE std::int64_t smallest(std::int64_t value) const {
    return static_cast<std::int64_t>(-combined(-static_cast<double>(value), Larger{}));
  }

 private:
  static constexpr unsigned warp = 32;

  NATGRAD_DEVICE double* values_of_row() const {
    return shared_array<double, block>() + thread.index.y * thread.threads.x;
  }
  template <class Combine>
  NATGRAD_DEVICE double combined(double value, const Combine& combine) const {
    double* values = values_of_row();
    const unsigned i = thread.index.x;
    values[i] = value;
    wait();
    for (unsigned half = thread.threads.x / 2; half > 0; half /= 2) {
      if (i < half) values[i] = combine(values[i], values[i + half]);
      wait();
    }
    const double result = values[0];
    wait();
    return result;
  }
};

template <class Row>
struct LanesPerRow {
  static constexpr bool synchronizes = true;
  static constexpr unsigned most_threads = RowLanes::block;
  Row row;
  std::int64_t rows;

  NATGRAD_DEVICE void operator()(const Thread& thread) const {
    for (std::int64_t n = thread.row(); n < rows; n += thread.rows()) row(RowLanes{thread}, n);
  }
};

/// Runs row(lanes, n) for n < rows.
template <class Row>
void launch_over_rows(Stream stream, std::int64_t rows, std::int64_t outputs, const Row& row) {
  const Extent threads = RowLanes::threads(outputs);
  launch(stream, {1, blocks_for(rows, threads.y)}, threads, LanesPerRow<Row>{row, rows});
}

}  // namespace natgrad::kernels
