#pragma once

#include <algorithm>
#include <cstdint>

#ifdef _OPENMP
#include <omp.h>
#endif

#include "natgrad/array.hpp"

namespace natgrad::cpu {

inline int threads() {
#ifdef _OPENMP
  return omp_get_max_threads();
#else
  return 1;
#endif
}

inline int thread_index() {
#ifdef _OPENMP
  return omp_get_thread_num();
#else
  return 0;
#endif
}

/// Runs body(begin, end) over [0, n) in blocks of at most `grain`, on OpenMP's threads. The blocks
/// do not depend on the number of threads.
template <class Body>
void parallel_blocks(std::int64_t n, std::int64_t grain, const Body& body) {
  const std::int64_t blocks = (n + grain - 1) / grain;
#pragma omp parallel for schedule(static) if (blocks > 1)
  for (std::int64_t block = 0; block < blocks; ++block) {
    body(block * grain, std::min(n, (block + 1) * grain));
  }
}

/// Elements a thread takes at a time: small enough to share, large enough to be worth a wake-up.
inline constexpr std::int64_t grain = 16384;

/// Rows of `columns` elements that make about one grain.
inline std::int64_t row_grain(std::int64_t columns) {
  return std::max<std::int64_t>(1, grain / std::max<std::int64_t>(1, columns));
}

}  // namespace natgrad::cpu
