#include "core/memory_errors.hpp"
#include "core/option_errors.hpp"
#include "natgrad/models/densities.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

namespace natgrad {

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
    const auto count = static_cast<std::size_t>(statistics);
    std::vector<double> t(samples.size() * count, std::numeric_limits<double>::quiet_NaN());
    for (std::size_t n = 0; n < samples.size(); ++n) {
      const double x = samples[n];
      const auto point = std::find(points.begin(), points.end(), x);
      const bool inside = interval
                              ? x >= points.front() && x <= points.back()
                              : point != points.end() &&
                                    weights[static_cast<std::size_t>(point - points.begin())] > 0;
      if (inside) statistic(x, std::span(t).subspan(n * count, count));
    }
    return t;
  });
}

}  // namespace natgrad
