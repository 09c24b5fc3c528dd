#include "models/densities/model.hpp"

#include "core/message.hpp"
#include "models/densities/options.hpp"
#include "natgrad/error.hpp"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>

namespace natgrad {

using detail::message;

DensityModel model_of(const Density::Options& options) {
  DensityModel model{.family = options.family, .shape = {}, .sizes = {}, .constants = {}};
  const bool exponential = options.family == DensityFamily::exponential;
  model.shape = {
      .dimensions = exponential ? options.support.statistics : options.dimensions,
      .components = options.components,
      .points = exponential ? static_cast<std::int64_t>(options.support.points.size()) : 0};
  model.sizes = formulas::sizes_of(model.family, model.shape);
  return model;
}

bool diverges_by_sampling(const formulas::DensitySizes& sizes) {
  return !sizes.closed && sizes.nodes == 0;
}

std::vector<double> constants_of(const Support& support, ElementType type) {
  const double most =
      type == ElementType::float32 ? detail::largest_float_statistic : detail::largest_statistic;
  const auto count = static_cast<std::size_t>(support.statistics);
  std::vector<double> numbers(support.points.size() * count);
  for (std::size_t q = 0; q < support.points.size(); ++q) {
    support.statistic(support.points[q], std::span(numbers).subspan(q * count, count));
  }
  for (const double number : numbers) {
    if (!(std::abs(number) <= most)) {
      throw OptionError(message("density: .support.statistic writes ", number,
                                ", must be finite and of size <= ", most, " in ", to_string(type)));
    }
  }
  for (const double weight : support.weights) numbers.push_back(std::log(weight));
  return numbers;
}

std::vector<double> standard_theta(const formulas::DensitySizes& sizes) {
  std::vector<double> theta;
  for (const DensityTensor& tensor : sizes.tensors.tensors) {
    for (std::int64_t i = 0; i < tensor.rows; ++i) {
      const double share =
          tensor.rows == 1 ? 0.5 : static_cast<double>(i) / static_cast<double>(tensor.rows - 1);
      const double value = tensor.first + share * (tensor.last - tensor.first);
      theta.insert(theta.end(), static_cast<std::size_t>(tensor.columns), value);
    }
  }
  return theta;
}

}  // namespace natgrad
