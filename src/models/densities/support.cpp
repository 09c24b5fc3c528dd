#include "core/memory_errors.hpp"
#include "core/message.hpp"
#include "core/option_errors.hpp"
#include "models/densities/options.hpp"
#include "natgrad/error.hpp"
#include "natgrad/models/densities.hpp"

#include <cmath>
#include <cstddef>
#include <utility>

namespace natgrad {

using detail::message;

namespace {

/// Gauss-Lobatto on [-1, 1], whose outer points are its ends.
constexpr double abscissas[] = {-1,
                                -8.71740148509606615337e-1,
                                -5.91700181433142302145e-1,
                                -2.09299217902478868769e-1,
                                2.09299217902478868769e-1,
                                5.91700181433142302145e-1,
                                8.71740148509606615337e-1,
                                1};
constexpr double factors[] = {3.57142857142857142857e-2, 2.10704227143506039383e-1,
                              3.41122692483504364764e-1, 4.12458794658703881567e-1,
                              4.12458794658703881567e-1, 3.41122692483504364764e-1,
                              2.10704227143506039383e-1, 3.57142857142857142857e-2};

void require_inside(const Support& support, std::span<const double> samples, std::size_t n) {
  const double x = samples[n];
  const std::vector<double>& points = support.points;
  if (support.interval) {
    if (x >= points.front() && x <= points.back()) return;
    throw ArgumentError(message("observe: samples[", n, "] = ", x, ", must be in [", points.front(),
                                ", ", points.back(), "]"));
  }
  for (std::size_t q = 0; q < points.size(); ++q) {
    if (points[q] == x && support.weights[q] > 0) return;
  }
  throw ArgumentError(message("observe: samples[", n, "] = ", x,
                              ", must be a point of the support that has a weight > 0"));
}

}  // namespace

Support Support::finite(std::vector<double> points, std::int64_t statistics,
                        std::function<void(double x, std::span<double> t)> statistic) {
  return detail::with_memory_errors([&] {
    Support support;
    support.weights.assign(points.size(), 1);
    support.points = std::move(points);
    support.statistics = statistics;
    support.statistic = std::move(statistic);
    return support;
  });
}

Support Support::on_interval(double low, double high, std::int64_t panels, std::int64_t statistics,
                             std::function<void(double x, std::span<double> t)> statistic) {
  return detail::with_memory_errors([&] {
    detail::OptionErrors errors("support");
    errors.check("low", low, true, "finite");
    errors.check("high", high, high > low, "finite and > low");
    errors.check("panels", static_cast<double>(panels), panels > 0, "> 0");
    errors.throw_if_any();
    Support support;
    support.interval = true;
    support.statistics = statistics;
    support.statistic = std::move(statistic);
    const double width = (high - low) / static_cast<double>(panels);
    for (std::int64_t panel = 0; panel < panels; ++panel) {
      const double middle = low + width * (static_cast<double>(panel) + 0.5);
      for (std::size_t i = 0; i < std::size(abscissas); ++i) {
        support.points.push_back(middle + width / 2 * abscissas[i]);
        support.weights.push_back(width / 2 * factors[i]);
      }
    }
    // The ends as given, not as rounded.
    support.points.front() = low;
    support.points.back() = high;
    return support;
  });
}

std::vector<double> Support::observe(std::span<const double> samples) const {
  return detail::with_memory_errors([&] {
    detail::OptionErrors errors("observe");
    detail::check_support(*this, errors);
    errors.throw_if_any();
    const auto count = static_cast<std::size_t>(statistics);
    std::vector<double> t(samples.size() * count);
    for (std::size_t n = 0; n < samples.size(); ++n) {
      require_inside(*this, samples, n);
      const std::span<double> own = std::span(t).subspan(n * count, count);
      statistic(samples[n], own);
      for (std::size_t i = 0; i < count; ++i) {
        if (std::abs(own[i]) <= detail::largest_statistic) continue;
        throw ArgumentError(message("observe: statistic ", i, " of samples[", n, "] = ", samples[n],
                                    " is ", own[i],
                                    ", must be finite and of size <= ", detail::largest_statistic));
      }
    }
    return t;
  });
}

}  // namespace natgrad
