#include "models/densities/options.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

namespace natgrad::detail {

namespace {

/// The most dimensions, components and statistics: products of two of them, and what is made of
/// these, are counted in 64 bits without overflow.
constexpr std::int64_t most = std::int64_t{1} << 20;
constexpr const char* in_bounds = "> 0 and <= 2^20";

bool is_in_bounds(std::int64_t count) { return count > 0 && count <= most; }

}  // namespace

void check_support(const Support& support, OptionErrors& errors) {
  const auto count = [](const auto& numbers) { return static_cast<double>(numbers.size()); };
  errors.check(".support.statistics", static_cast<double>(support.statistics),
               is_in_bounds(support.statistics), in_bounds);
  errors.check(".support.points: their number", count(support.points), !support.points.empty(),
               "> 0");
  errors.check(".support.weights: their number", count(support.weights),
               support.weights.size() == support.points.size(), "that of the points");
  errors.check(".support.statistic given", support.statistic ? 1 : 0, support.statistic != nullptr,
               "1: a function");
  for (const double point : support.points) {
    if (!std::isfinite(point)) return errors.check(".support.points", point, false, "finite");
  }
  for (const double weight : support.weights) {
    // The density of a point of weight w is 1 / w at most, which is finite for normal w alone.
    if (!std::isfinite(weight) || (weight != 0 && weight < std::numeric_limits<double>::min())) {
      return errors.check(".support.weights", weight, false, "0, or finite and >= 2.3e-308");
    }
  }
  const bool any = std::any_of(support.weights.begin(), support.weights.end(),
                               [](double weight) { return weight > 0; });
  errors.check(".support.weights: the largest", 0, any, "> 0");
}

void check_density_options(const Density::Options& options) {
  OptionErrors errors("density");
  errors.check_enumerator(".family", options.family);
  errors.check_enumerator(".type", options.type);
  errors.check(".type", static_cast<double>(options.type), options.type != ElementType::int32,
               "a float");
  const bool mixture = options.family == DensityFamily::mixture;
  const bool dimensional = mixture || options.family == DensityFamily::gaussian_cholesky;
  errors.check(".dimensions", static_cast<double>(options.dimensions),
               dimensional ? is_in_bounds(options.dimensions) : options.dimensions == 1,
               dimensional ? in_bounds : "1 for this family");
  errors.check(".components", static_cast<double>(options.components),
               mixture ? is_in_bounds(options.components) : options.components == 1,
               mixture ? in_bounds : "1 for this family");
  errors.check(".kl_draws", static_cast<double>(options.kl_draws), options.kl_draws > 0, "> 0");
  if (options.family == DensityFamily::exponential) check_support(options.support, errors);
  errors.throw_if_any();
}

}  // namespace natgrad::detail
