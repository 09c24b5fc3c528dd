#pragma once

#include "kernels/formulas/elementary.hpp"
#include "kernels/formulas/formula.hpp"
#include "kernels/formulas/random.hpp"

#include <cmath>
#include <cstdint>

// The categorical distribution softmax(z) of one row z of outputs, and labels drawn from it.

namespace natgrad::formulas {

/// The first class with the largest output; a NaN is the largest where it comes first, and never
/// elsewhere.
template <class T>
NATGRAD_FORMULA std::int64_t largest_class(const T* z, std::int64_t classes) {
  std::int64_t largest = 0;
  for (std::int64_t c = 1; c < classes; ++c) {
    if (z[largest] < z[c]) largest = c;
  }
  return largest;
}

/// score_c = [c = label] - softmax(z)_c, and NaN for a label that is no class.
template <class T>
NATGRAD_FORMULA void softmax_score_row(const T* z, std::int64_t label, std::int64_t classes,
                                       T* score) {
  if (label < 0 || label >= classes) {
    for (std::int64_t c = 0; c < classes; ++c) score[c] = static_cast<T>(NAN);
    return;
  }
  const T largest = z[largest_class(z, classes)];
  T sum = 0;
  for (std::int64_t c = 0; c < classes; ++c) {
    score[c] = formulas::exp(z[c] - largest);
    sum += score[c];
  }
  for (std::int64_t c = 0; c < classes; ++c) score[c] = -score[c] / sum;
  score[label] += 1;
}

/// log softmax(z)_label, and NaN for a label that is no class.
template <class T>
NATGRAD_FORMULA double log_softmax(const T* z, std::int64_t label, std::int64_t classes) {
  if (label < 0 || label >= classes) return NAN;
  const double largest = static_cast<double>(z[largest_class(z, classes)]);
  double sum = 0;
  for (std::int64_t c = 0; c < classes; ++c)
    sum += formulas::exp(static_cast<double>(z[c]) - largest);
  return static_cast<double>(z[label]) - largest - std::log(sum);
}

/// The uniform number in [0, 1) that label `index` of one drawing follows from. `counter` counts
/// drawings, modulo 2^32.
NATGRAD_FORMULA double label_uniform(std::uint64_t key, std::uint64_t counter,
                                     std::uint64_t index) {
  return uniform(
      random_bits(key, RandomStream::labels, static_cast<std::uint32_t>(counter), index));
}

/// The inverse of the distribution function: the first class c with weight(0) + ... + weight(c) > u
/// total, where weight(c) >= 0 is a multiple of the probability of c and `total` their sum. A class
/// of weight 0 is never taken, also where rounding has left the sum below u total.
template <class Weight>
NATGRAD_FORMULA std::int64_t pick_class(std::int64_t classes, double total, double u,
                                        const Weight& weight) {
  double sum = 0;
  std::int64_t last = -1;
  for (std::int64_t c = 0; c < classes; ++c) {
    const double w = weight(c);
    if (!(w > 0)) continue;
    sum += w;
    last = c;
    if (sum > u * total) break;
  }
  return last;
}

template <class T>
NATGRAD_FORMULA bool all_finite(const T* z, std::int64_t count) {
  T sum = 0;  // of zeros, and of NaN for what is not finite
  for (std::int64_t i = 0; i < count; ++i) sum += z[i] * 0;
  return sum == 0;
}

/// `draws` labels of row n, or -1 where a number of z is not finite. Weights are computed again for
/// every draw: there is no room for them, and the labels are few beside the net's products.
template <class T>
NATGRAD_FORMULA void sample_row(const T* z, std::int64_t classes, std::uint64_t key,
                                std::uint64_t counter, std::int64_t n, std::int64_t draws,
                                std::int32_t* labels) {
  if (!all_finite(z, classes)) {
    for (std::int64_t k = 0; k < draws; ++k) labels[k] = -1;
    return;
  }
  const auto largest = static_cast<double>(z[largest_class(z, classes)]);
  const auto weight = [z, largest](std::int64_t c) {
    return formulas::exp(static_cast<double>(z[c]) - largest);
  };
  double total = 0;
  for (std::int64_t c = 0; c < classes; ++c) total += weight(c);
  for (std::int64_t k = 0; k < draws; ++k) {
    const double u = label_uniform(key, counter, static_cast<std::uint64_t>(n * draws + k));
    labels[k] = static_cast<std::int32_t>(pick_class(classes, total, u, weight));
  }
}

}  // namespace natgrad::formulas
