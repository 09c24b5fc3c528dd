#pragma once

#include "kernels/formulas/elementary.hpp"
#include "kernels/formulas/formula.hpp"
#include "kernels/formulas/likelihoods/draws.hpp"
#include "kernels/formulas/likelihoods/lanes.hpp"
#include "kernels/formulas/likelihoods/variances.hpp"

#include <cmath>
#include <cstdint>

namespace natgrad::formulas {

/// The categorical distribution p(y) = softmax(z)_y over the C classes of one row z of outputs. The
/// largest output is taken out of every exponent, so that none overflows.
struct Categorical {
  static constexpr bool integer_targets = true;
  static constexpr int outputs_a_target = 1;
  /// One label a row, in [0, C).
  NATGRAD_FORMULA static std::int64_t targets(std::int64_t) { return 1; }

  /// score_c = [c = label] - softmax(z)_c, and NaN for a label that is no class.
  template <class Lanes, class T>
  NATGRAD_FORMULA static void score(const Lanes& lanes, const T* z, std::int64_t classes,
                                    const std::int32_t* label, T* score) {
    if (!is_class(*label, classes)) {
      for (std::int64_t c = lanes.index(); c < classes; c += lanes.count()) {
        score[c] = static_cast<T>(NAN);
      }
      return;
    }
    const T largest = lanes.largest(z[own_largest(lanes, z, classes)]);
    T own = 0;
    for (std::int64_t c = lanes.index(); c < classes; c += lanes.count()) {
      score[c] = formulas::exp(z[c] - largest);
      own += score[c];
    }
    const T sum = lanes.sum(own);
    for (std::int64_t c = lanes.index(); c < classes; c += lanes.count()) {
      const T difference = -score[c] / sum;
      score[c] = c == *label ? difference + 1 : difference;
    }
  }

  /// log softmax(z)_label, and NaN for a label that is no class.
  template <class Lanes, class T>
  NATGRAD_FORMULA static double log_p(const Lanes& lanes, const T* z, std::int64_t classes,
                                      const std::int32_t* label) {
    if (!is_class(*label, classes)) return NAN;
    const double largest = lanes.largest(static_cast<double>(z[own_largest(lanes, z, classes)]));
    double own = 0;
    for (std::int64_t c = lanes.index(); c < classes; c += lanes.count()) {
      own += formulas::exp(static_cast<double>(z[c]) - largest);
    }
    return static_cast<double>(z[*label]) - largest - std::log(lanes.sum(own));
  }

  /// 1 where the label is the first class with the largest output, else 0: the mean over rows is
  /// the accuracy. A NaN is the largest where it comes first, and never elsewhere.
  template <class Lanes, class T>
  NATGRAD_FORMULA static double figure(const Lanes& lanes, const T* z, std::int64_t classes,
                                       const std::int32_t* label) {
    const std::int64_t own = own_largest(lanes, z, classes);
    const T largest = lanes.largest(z[own]);
    // Also where both are NaN.
    const bool is_largest = !(z[own] < largest);
    return lanes.smallest(is_largest ? own : classes) == *label ? 1 : 0;
  }

  /// Labels by the inverse of the distribution function, summed in double, or -1 where a number of
  /// z is not finite. Weights are computed again for every draw: there is no room for them, and the
  /// labels are few beside the net's products.
  template <class Lanes, class T>
  NATGRAD_FORMULA static void sample(const Lanes& lanes, const T* z, std::int64_t classes,
                                     const DrawUniforms& uniform, std::int64_t draws,
                                     std::int32_t* labels) {
    T zero = 0;  // NaN where an output is not finite
    for (std::int64_t c = lanes.index(); c < classes; c += lanes.count()) zero += z[c] * 0;
    const bool finite = lanes.sum(zero) == 0;
    const auto largest = static_cast<double>(lanes.largest(z[own_largest(lanes, z, classes)]));
    const auto weight = [z, largest](std::int64_t c) {
      return formulas::exp(static_cast<double>(z[c]) - largest);
    };
    const LaneSegment segment(lanes, classes);
    double own = 0;
    for (std::int64_t c = segment.begin; c < segment.end; ++c) own += weight(c);
    const double total = lanes.sum(own);
    const double before = lanes.sum_before(own);
    for (std::int64_t k = 0; k < draws; ++k) {
      const std::int64_t label =
          pick_class(lanes, segment, before, uniform(k) * total, classes, weight);
      if (lanes.index() == 0) labels[k] = finite ? static_cast<std::int32_t>(label) : -1;
    }
  }

  /// Row c is sqrt(p_c) (e_c - p), and r_c = ([c = label] - p_c) / sqrt(p_c): S^T S = diag(p) - p
  /// p^T and S^T r = e_label - p. In `r` p stands until all rows are written.
  template <class Lanes, class T>
  NATGRAD_FORMULA static void exact(const Lanes& lanes, const T* z, std::int64_t classes,
                                    const std::int32_t* label, T* rows, std::int64_t stride,
                                    double* r) {
    const auto largest = static_cast<double>(lanes.largest(z[own_largest(lanes, z, classes)]));
    double own = 0;
    for (std::int64_t c = lanes.index(); c < classes; c += lanes.count()) {
      r[c] = formulas::exp(static_cast<double>(z[c]) - largest);
      own += r[c];
    }
    const double sum = lanes.sum(own);
    for (std::int64_t c = lanes.index(); c < classes; c += lanes.count()) r[c] /= sum;
    lanes.wait();
    for (std::int64_t c = 0; c < classes; ++c) {
      const double root = std::sqrt(bounded_variance(r[c], least_variance<T>));
      for (std::int64_t j = lanes.index(); j < classes; j += lanes.count()) {
        rows[c * stride + j] = static_cast<T>(root * (c == j ? 1 - r[j] : -r[j]));
      }
    }
    lanes.wait();
    const bool known = is_class(*label, classes);
    for (std::int64_t c = lanes.index(); c < classes; c += lanes.count()) {
      const double root = std::sqrt(bounded_variance(r[c], least_variance<T>));
      r[c] = known ? (c == *label ? 1 - r[c] : -r[c]) / root : static_cast<double>(NAN);
    }
  }

  /// KL(softmax(z) || softmax(now)) in nats. With d = now - z, less its mean under p: log sum p
  /// exp(d), where d is small without the difference of two logarithms.
  template <class Lanes, class T>
  NATGRAD_FORMULA static double kl(const Lanes& lanes, const T* z, const T* now,
                                   std::int64_t classes) {
    const auto largest = static_cast<double>(lanes.largest(z[own_largest(lanes, z, classes)]));
    const auto p = [&](std::int64_t c) {
      return formulas::exp(static_cast<double>(z[c]) - largest);
    };
    const auto d = [&](std::int64_t c) {
      return static_cast<double>(now[c]) - static_cast<double>(z[c]);
    };
    double own_p = 0;
    double own_d = 0;
    for (std::int64_t c = lanes.index(); c < classes; c += lanes.count()) {
      own_p += p(c);
      own_d += p(c) * d(c);
    }
    const double total = lanes.sum(own_p);
    const double mean = lanes.sum(own_d) / total;
    double farthest = 0;
    double own = 0;
    for (std::int64_t c = lanes.index(); c < classes; c += lanes.count()) {
      const double e = d(c) - mean;
      if (farthest < magnitude(e)) farthest = magnitude(e);
      own += p(c) * std::expm1(e);
    }
    const bool small = lanes.largest(farthest) < 1;
    const double excess = lanes.sum(own);
    if (small) return std::log1p(excess / total);

    const double most = lanes.largest(static_cast<double>(now[own_largest(lanes, now, classes)]));
    double own_now = 0;
    for (std::int64_t c = lanes.index(); c < classes; c += lanes.count()) {
      own_now += formulas::exp(static_cast<double>(now[c]) - most);
    }
    return (most + std::log(lanes.sum(own_now))) - (largest + std::log(total)) - mean;
  }

  /// The first class c with weight(0) + ... + weight(c) > threshold, where weight(c) >= 0 is a
  /// multiple of the probability of c; `before` is the sum of the weights before the segment. A
  /// class of weight 0 is never taken, also where rounding has left the sum below the threshold:
  /// then it is the last class with a weight, and -1 where none has one.
  template <class Lanes, class Weight>
  NATGRAD_FORMULA static std::int64_t pick_class(const Lanes& lanes, const LaneSegment& segment,
                                                 double before, double threshold,
                                                 std::int64_t classes, const Weight& weight) {
    double sum = before;
    std::int64_t last = -1;
    std::int64_t first_above = classes;
    for (std::int64_t c = segment.begin; c < segment.end; ++c) {
      const double w = weight(c);
      if (!(w > 0)) continue;
      sum += w;
      last = c;
      if (sum > threshold) {
        first_above = c;
        break;
      }
    }
    const std::int64_t picked = lanes.smallest(first_above);
    const std::int64_t last_of_all = -lanes.smallest(-last);
    return picked < classes ? picked : last_of_all;
  }

 private:
  NATGRAD_FORMULA static bool is_class(std::int64_t label, std::int64_t classes) {
    return label >= 0 && label < classes;
  }

  /// The first of the lane's classes whose output is larger than that of class 0 and of all its
  /// others; 0 where there is none. With a NaN at class 0 that is 0 in every lane.
  template <class Lanes, class T>
  NATGRAD_FORMULA static std::int64_t own_largest(const Lanes& lanes, const T* z,
                                                  std::int64_t classes) {
    std::int64_t largest = 0;
    for (std::int64_t c = lanes.index(); c < classes; c += lanes.count()) {
      if (z[largest] < z[c]) largest = c;
    }
    return largest;
  }
};

}  // namespace natgrad::formulas
