#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace natgrad::trainer {

/// Of some numbers: their mean, and their deviation, the root of the mean square about it.
struct Moments {
  double mean = 0;
  double deviation = 0;  // 0 exactly where all numbers are equal
};

/// The moments of value(0), ..., value(count - 1), count > 0. Neither overflows nor underflows
/// before the moments themselves do.
template <class Value>
Moments moments_of(std::int64_t count, const Value& value) {
  const auto n = static_cast<double>(count);
  Moments moments;
  double least = value(0);
  double most = least;
  for (std::int64_t i = 0; i < count; ++i) {
    least = std::min(least, value(i));
    most = std::max(most, value(i));
    moments.mean += value(i) / n;
  }
  if (least == most) return {.mean = least, .deviation = 0};
  const double unit = std::max(most - moments.mean, moments.mean - least);
  double squares = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    const double difference = (value(i) - moments.mean) / unit;
    squares += difference * difference;
  }
  moments.deviation = unit * std::sqrt(squares / n);
  return moments;
}

}  // namespace natgrad::trainer
