#pragma once

#include "kernels/formulas/elementary.hpp"
#include "kernels/formulas/formula.hpp"
#include "kernels/formulas/likelihoods/draws.hpp"

#include <cmath>
#include <cstdint>

namespace natgrad::formulas {

/// The categorical distribution p(y) = softmax(z)_y over the C classes of one row z of outputs. The
/// largest output is taken out of every exponent, so that none overflows.
struct Categorical {
  static constexpr bool integer_targets = true;
  /// One label a row, in [0, C).
  NATGRAD_FORMULA static std::int64_t targets(std::int64_t) { return 1; }

  /// score_c = [c = label] - softmax(z)_c, and NaN for a label that is no class.
  template <class T>
  NATGRAD_FORMULA static void score(const T* z, std::int64_t classes, const std::int32_t* label,
                                    T* score) {
    if (!is_class(*label, classes)) {
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
    score[*label] += 1;
  }

  /// log softmax(z)_label, and NaN for a label that is no class.
  template <class T>
  NATGRAD_FORMULA static double log_p(const T* z, std::int64_t classes, const std::int32_t* label) {
    if (!is_class(*label, classes)) return NAN;
    const double largest = static_cast<double>(z[largest_class(z, classes)]);
    double sum = 0;
    for (std::int64_t c = 0; c < classes; ++c)
      sum += formulas::exp(static_cast<double>(z[c]) - largest);
    return static_cast<double>(z[*label]) - largest - std::log(sum);
  }

  /// 1 where the label has the largest output, else 0: the mean over rows is the accuracy.
  template <class T>
  NATGRAD_FORMULA static double figure(const T* z, std::int64_t classes,
                                       const std::int32_t* label) {
    return largest_class(z, classes) == *label ? 1 : 0;
  }

  /// Labels by the inverse of the distribution function, summed in double, or -1 where a number of
  /// z is not finite. Weights are computed again for every draw: there is no room for them, and the
  /// labels are few beside the net's products.
  template <class T>
  NATGRAD_FORMULA static void sample(const T* z, std::int64_t classes, const DrawUniforms& uniform,
                                     std::int64_t draws, std::int32_t* labels) {
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
      labels[k] = static_cast<std::int32_t>(pick_class(classes, total, uniform(k), weight));
    }
  }

  NATGRAD_FORMULA static bool is_class(std::int64_t label, std::int64_t classes) {
    return label >= 0 && label < classes;
  }

  /// The first class with the largest output; a NaN is the largest where it comes first, and never
  /// elsewhere.
  template <class T>
  NATGRAD_FORMULA static std::int64_t largest_class(const T* z, std::int64_t classes) {
    std::int64_t largest = 0;
    for (std::int64_t c = 1; c < classes; ++c) {
      if (z[largest] < z[c]) largest = c;
    }
    return largest;
  }

  template <class T>
  NATGRAD_FORMULA static bool all_finite(const T* z, std::int64_t count) {
    T sum = 0;  // of zeros, and of NaN for what is not finite
    for (std::int64_t i = 0; i < count; ++i) sum += z[i] * 0;
    return sum == 0;
  }

  /// The first class c with weight(0) + ... + weight(c) > u total, where weight(c) >= 0 is a
  /// multiple of the probability of c and `total` the sum of all. A class of weight 0 is never
  /// taken, also where rounding has left the sum below u total.
  template <class Weight>
  NATGRAD_FORMULA static std::int64_t pick_class(std::int64_t classes, double total, double u,
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
};

}  // namespace natgrad::formulas
