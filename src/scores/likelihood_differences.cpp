#include "scores/likelihood_differences.hpp"

#include "core/message.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <string>
#include <utility>
#include <vector>

namespace natgrad::detail {

namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();

/// One row along one direction.
struct Slope {
  double product;     // s_n . v
  double difference;  // the central difference
  double gap;         // half the distance of the one-sided differences
  double scale;       // what its error is measured by
};

/// The slopes of every row along every direction, and by how much a product misses one.
class Slopes {
 public:
  explicit Slopes(const LikelihoodDifferences& data) : data_(data) {
    for (std::size_t k = 0; k < data.directions; ++k) {
      double sum = 0;
      for (std::size_t n = 0; n < data.rows; ++n) {
        const double difference = central(k, n);
        if (std::isfinite(difference)) sum += difference * difference;
      }
      squares_.push_back(sum);
    }
  }

  Slope at(std::size_t k, std::size_t n) const {
    const std::size_t i = k * data_.rows + n;
    const double mean_square = squares_[k] / static_cast<double>(data_.rows);
    const double difference = central(k, n);
    const double bend = data_.above[i] - 2 * data_.centre[n] + data_.below[i];
    return {data_.products[i], difference, std::abs(bend) / (2 * data_.step),
            std::max(std::abs(difference), std::sqrt(mean_square))};
  }
  /// Sum over the rows, those that are not finite left out, of the squared differences.
  double square(std::size_t k) const { return squares_[k]; }
  /// Whether log p is the same at both points of a direction, for all rows.
  bool constant() const { return std::ranges::find(squares_, 0.0) != squares_.end(); }

  /// By how much the product misses `factor` times the difference. A kink between theta and one of
  /// the two points leaves the other one-sided difference as it should be: the slope is `gap` away
  /// from the central one. Kinks on both sides may take from the gap what they add to the error;
  /// three times the gap holds as long as one side's are at least twice the other's.
  double miss(const Slope& slope, double factor) const {
    const double error = std::abs(slope.product - factor * slope.difference);
    if (!(slope.gap > data_.tolerance * slope.scale)) return error;
    return std::max(0.0, error - 3 * std::abs(factor) * slope.gap);
  }
  /// The direction with the median miss, relative to the scale. A wrong row is off along nearly all
  /// directions; most kinks are met along one and not along another.
  Slope typical(std::size_t n, double factor) const {
    std::vector<std::pair<double, std::size_t>> misses;
    for (std::size_t k = 0; k < data_.directions; ++k) {
      const Slope slope = at(k, n);
      const double error = miss(slope, factor);
      misses.emplace_back(error == 0 ? 0 : error / slope.scale, k);
    }
    const auto median = misses.begin() + static_cast<std::ptrdiff_t>((misses.size() - 1) / 2);
    std::nth_element(misses.begin(), median, misses.end());
    return at(median->second, n);
  }
  bool off(std::size_t n, double factor) const {
    const Slope slope = typical(n, factor);
    return !(miss(slope, factor) <= data_.tolerance * std::abs(factor) * slope.scale);
  }
  bool finite(std::size_t k, std::size_t n) const {
    const Slope slope = at(k, n);
    return std::isfinite(slope.product) && std::isfinite(slope.difference) &&
           std::isfinite(slope.gap);
  }

 private:
  double central(std::size_t k, std::size_t n) const {
    const std::size_t i = k * data_.rows + n;
    return (data_.above[i] - data_.below[i]) / (2 * data_.step);
  }

  const LikelihoodDifferences& data_;
  std::vector<double> squares_;
};

/// The largest over the directions of |S v - factor difference| / |factor difference|.
double distance(const Slopes& slopes, const LikelihoodDifferences& data, double factor) {
  double largest = 0;
  for (std::size_t k = 0; k < data.directions; ++k) {
    double sum = 0;
    for (std::size_t n = 0; n < data.rows; ++n) {
      const double miss = slopes.miss(slopes.at(k, n), factor);
      sum += miss * miss;
    }
    largest = std::max(largest, std::sqrt(sum / slopes.square(k)) / std::abs(factor));
  }
  return largest;
}

std::int64_t rows_off(const Slopes& slopes, const LikelihoodDifferences& data, double factor) {
  std::int64_t count = 0;
  for (std::size_t n = 0; n < data.rows; ++n) count += slopes.off(n, factor) ? 1 : 0;
  return count;
}

void set_worst(LikelihoodCheck& check, const Slope& slope, std::size_t row) {
  check.worst_row = static_cast<std::int64_t>(row);
  check.worst_product = slope.product;
  check.worst_difference = slope.difference;
}

/// Counts the rows of which a figure is not finite; the first becomes the worst row.
std::int64_t rows_not_finite(const Slopes& slopes, const LikelihoodDifferences& data,
                             LikelihoodCheck& check) {
  std::int64_t count = 0;
  for (std::size_t n = 0; n < data.rows; ++n) {
    std::size_t k = 0;
    while (k < data.directions && slopes.finite(k, n)) ++k;
    if (k == data.directions) continue;
    if (count == 0) set_worst(check, slopes.at(k, n), n);
    ++count;
  }
  return count;
}

void find_worst(const Slopes& slopes, const LikelihoodDifferences& data, LikelihoodCheck& check) {
  double largest = -1;
  for (std::size_t n = 0; n < data.rows; ++n) {
    const Slope slope = slopes.typical(n, 1);
    const double error = slopes.miss(slope, 1) / slope.scale;
    if (!(error > largest)) continue;
    largest = error;
    set_worst(check, slope, n);
  }
}

/// S v = f difference in the mean.
double best_factor(const Slopes& slopes, const LikelihoodDifferences& data) {
  double product = 0;
  double square = 0;
  for (std::size_t k = 0; k < data.directions; ++k) {
    for (std::size_t n = 0; n < data.rows; ++n) {
      const Slope slope = slopes.at(k, n);
      product += slope.product * slope.difference;
    }
    square += slopes.square(k);
  }
  return product / square;
}

std::string meaning(double factor, double n) {
  const auto near = [factor](double expected) {
    constexpr double tolerance = 1e-2;
    return std::abs(factor - expected) <= tolerance * std::abs(expected);
  };
  if (factor == 0) return "; 0: the rows are zero";
  if (near(-1)) return "; -1: the rows are those of a loss, scores point uphill";
  for (double sign : {1.0, -1.0}) {
    if (n == 1) break;
    const char* minus = sign > 0 ? "" : "-";
    if (near(sign / n)) {
      return message("; ", minus, "1/N: the rows seem to hold the 1/N of a mean",
                     sign > 0 ? "" : " loss", "; multiply .scale by ", minus, "N");
    }
    if (near(sign * n)) {
      return message("; ", minus, "N: log p seems to be divided by N, or the rows multiplied");
    }
  }
  if (near(2) || near(0.5)) return "; 2 or 1/2: a square and its half";
  return {};
}

std::string worst_text(const LikelihoodCheck& check) {
  return message("row ", check.worst_row, ": S v = ", check.worst_product, ", difference ",
                 check.worst_difference);
}

/// Beyond this distance nothing agrees, whatever was allowed for kinks.
constexpr double most_distance = 0.1;

/// Counts the rows of which two calls at the same parameters differ by more than a slope within the
/// tolerance can bear; the one that differs most becomes the worst row. Rounding that depends on
/// the order of sums passes.
std::int64_t rows_not_repeated(const Slopes& slopes, const LikelihoodDifferences& data,
                               LikelihoodCheck& check, double& most) {
  std::int64_t count = 0;
  most = 0;
  for (std::size_t n = 0; n < data.rows; ++n) {
    const double change = std::abs(data.again[n] - data.centre[n]);
    const Slope slope = slopes.typical(n, 1);
    if (change / (2 * data.step) <= data.tolerance * slope.scale) continue;
    ++count;
    if (count > 1 && !(change > most)) continue;
    most = change;
    set_worst(check, slope, n);
  }
  return count;
}

std::string explain(const LikelihoodCheck& check, const LikelihoodDifferences& data,
                    bool a_factor_is_all) {
  if (check.rows_off == 0 && check.distance <= most_distance) {
    return message("the rows agree with the differences of log p: relative distance ",
                   check.distance);
  }
  if (check.rows_off == 0) {
    return message("the rows differ from the differences of log p: relative distance ",
                   check.distance,
                   " along a direction, though no row is off along most of them; "
                   "log p is noisy, or bends within .step; worst ",
                   worst_text(check));
  }
  if (a_factor_is_all && check.distance_scaled <= most_distance) {
    return message("the rows agree with the differences of log p up to a factor: S v is ",
                   check.factor, " times the difference",
                   meaning(check.factor, static_cast<double>(data.rows)), "; worst ",
                   worst_text(check));
  }
  return message("the rows differ from the differences of log p: relative distance ",
                 check.distance, ", and still ", check.distance_scaled, " with the best factor ",
                 check.factor, "; ", check.rows_off, " of ", data.rows, " rows are off, worst ",
                 worst_text(check));
}

}  // namespace

LikelihoodCheck compare(const LikelihoodDifferences& data) {
  const Slopes slopes(data);
  LikelihoodCheck check;
  check.distance = check.factor = check.distance_scaled = nan;
  check.rows_off = rows_not_finite(slopes, data, check);
  if (check.rows_off > 0) {
    check.text = message("nothing to compare: ", check.rows_off, " of ", data.rows,
                         " rows are not finite, the first ", worst_text(check));
  } else {
    check.rows_off = rows_off(slopes, data, 1);
    find_worst(slopes, data, check);
    double most = 0;
    const std::int64_t not_repeated = rows_not_repeated(slopes, data, check, most);
    if (not_repeated > 0) {
      check.rows_off = not_repeated;
      check.text = message(
          "nothing to compare: log p is not reproducible: two calls at the same parameters differ "
          "for ",
          not_repeated, " of ", data.rows, " rows, by ", most, " at row ", check.worst_row,
          "; leave dropout and other noise out, or draw the same numbers in every call");
    } else if (slopes.constant()) {
      check.text = message("nothing to compare: log p does not change with the parameters; ",
                           worst_text(check));
    } else {
      check.distance = distance(slopes, data, 1);
      check.factor = best_factor(slopes, data);
      check.distance_scaled = distance(slopes, data, check.factor);
      check.text = explain(check, data, rows_off(slopes, data, check.factor) == 0);
    }
  }
  return check;
}

}  // namespace natgrad::detail
