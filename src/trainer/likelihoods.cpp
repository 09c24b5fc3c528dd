#include "trainer/likelihoods.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>

namespace natgrad::trainer {

namespace {

constexpr double largest_count = 2147483647;

bool is_whole(double x) { return x >= 0 && x <= largest_count && x == std::floor(x); }

/// f(k) of every column of targets, one behind the other.
template <class F>
std::vector<double> of_columns(const TargetColumns& targets, const F& f) {
  std::vector<double> values;
  for (std::int64_t k = 0; k < targets.columns; ++k) values.push_back(f(k));
  return values;
}

std::int64_t an_output_each(const TargetColumns& targets) { return targets.columns; }

double half_a_sample(const TargetColumns& targets) {
  return 0.5 / static_cast<double>(targets.count());
}

std::int64_t classes_of(const TargetColumns& targets) {
  return static_cast<std::int64_t>(*std::ranges::max_element(targets.numbers)) + 1;
}

/// Logarithms of the classes' shares, less their mean, which changes no probability.
std::vector<double> log_shares(const TargetColumns& targets, std::int64_t classes) {
  std::vector<double> outputs(static_cast<std::size_t>(classes));
  for (const double label : targets.numbers) ++outputs[static_cast<std::size_t>(label)];
  double sum = 0;
  for (double& output : outputs) {
    output = std::log(std::max(output, 0.5));
    sum += output;
  }
  for (double& output : outputs) output -= sum / static_cast<double>(classes);
  return outputs;
}

std::vector<double> log_odds(const TargetColumns& targets, std::int64_t) {
  const double least = half_a_sample(targets);
  return of_columns(targets, [&](std::int64_t k) {
    const double mean = std::clamp(targets.moments(k).mean, least, 1 - least);
    return std::log(mean) - std::log1p(-mean);
  });
}

std::vector<double> means(const TargetColumns& targets, std::int64_t) {
  return of_columns(targets, [&](std::int64_t k) { return targets.moments(k).mean; });
}

std::vector<double> means_and_log_deviations(const TargetColumns& targets, std::int64_t outputs) {
  std::vector<double> link = means(targets, outputs);
  const std::vector<double> scales =
      of_columns(targets, [&](std::int64_t k) { return std::log(targets.moments(k).deviation); });
  link.insert(link.end(), scales.begin(), scales.end());
  return link;
}

std::vector<double> log_means(const TargetColumns& targets, std::int64_t) {
  const double least = half_a_sample(targets);
  return of_columns(
      targets, [&](std::int64_t k) { return std::log(std::max(targets.moments(k).mean, least)); });
}

}  // namespace

Moments TargetColumns::moments(std::int64_t column) const {
  return moments_of(count(), [&](std::int64_t n) {
    return numbers[static_cast<std::size_t>(n * columns + column)];
  });
}

const std::vector<TrainedLikelihood>& trained_likelihoods() {
  static const auto any = [](double) { return true; };
  static const std::vector<TrainedLikelihood> table = {
      {.likelihood = Likelihood::categorical,
       .name = "categorical",
       .figure = "accuracy",
       .figure_is_a_square = false,
       .has_one_target = true,
       .targets_have_a_unit = false,
       .support = "the number of a class, 0, 1, 2, ...",
       .supports = is_whole,
       .outputs = classes_of,
       .link_of_mean = log_shares},
      {.likelihood = Likelihood::bernoulli,
       .name = "bernoulli",
       .figure = "accuracy",
       .figure_is_a_square = false,
       .has_one_target = false,
       .targets_have_a_unit = false,
       .support = "a number from 0 to 1",
       .supports = [](double y) { return y >= 0 && y <= 1; },
       .outputs = an_output_each,
       .link_of_mean = log_odds},
      {.likelihood = Likelihood::gaussian,
       .name = "gaussian",
       .figure = "rmse",
       .figure_is_a_square = true,
       .has_one_target = false,
       .targets_have_a_unit = true,
       .support = "a number",
       .supports = any,
       .outputs = an_output_each,
       .link_of_mean = means},
      {.likelihood = Likelihood::gaussian_scale,
       .name = "gaussian-scale",
       .figure = "rmse",
       .figure_is_a_square = true,
       .has_one_target = false,
       .targets_have_a_unit = true,
       .support = "a number",
       .supports = any,
       .outputs = [](const TargetColumns& all) { return 2 * all.columns; },
       .link_of_mean = means_and_log_deviations},
      {.likelihood = Likelihood::poisson,
       .name = "poisson",
       .figure = "rmse",
       .figure_is_a_square = true,
       .has_one_target = false,
       .targets_have_a_unit = false,
       .support = "a count, 0, 1, 2, ...",
       .supports = is_whole,
       .outputs = an_output_each,
       .link_of_mean = log_means},
  };
  return table;
}

const TrainedLikelihood& row_of(Likelihood likelihood) {
  return *std::ranges::find(trained_likelihoods(), likelihood, &TrainedLikelihood::likelihood);
}

}  // namespace natgrad::trainer
