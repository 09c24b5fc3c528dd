#pragma once

#include "kernels/formulas/formula.hpp"

#include <cstdint>

namespace natgrad::formulas {

/// The threads that share the work on one row of outputs, as the formulas of a likelihood see them:
/// here a single one, which does all of it. Where there are more, each calls the formula with its
/// index, takes outputs index, index + count, ... or its segment of them, and every one of them
/// comes to every reduction; a reduction gives all of them the same result.
struct OneLane {
  NATGRAD_FORMULA static constexpr std::int64_t index() { return 0; }
  NATGRAD_FORMULA static constexpr std::int64_t count() { return 1; }

  /// After it every lane sees what the others wrote before.
  NATGRAD_FORMULA static void wait() {}
  template <class T>
  NATGRAD_FORMULA static T sum(T value) {
    return value;
  }
  /// The sum over the lanes of a lower index.
  NATGRAD_FORMULA static double sum_before(double) { return 0; }
  /// NaN where every value is.
  template <class T>
  NATGRAD_FORMULA static T largest(T value) {
    return value;
  }
  NATGRAD_FORMULA static std::int64_t smallest(std::int64_t value) { return value; }
};

/// Adjacent outputs that one lane takes.
struct LaneSegment {
  std::int64_t begin;
  std::int64_t end;

  template <class Lanes>
  NATGRAD_FORMULA LaneSegment(const Lanes& lanes, std::int64_t outputs) {
    const std::int64_t size = (outputs + lanes.count() - 1) / lanes.count();
    const std::int64_t first = lanes.index() * size;
    begin = first < outputs ? first : outputs;
    end = first + size < outputs ? first + size : outputs;
  }
};

}  // namespace natgrad::formulas
