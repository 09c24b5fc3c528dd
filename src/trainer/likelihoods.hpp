#pragma once

#include "natgrad/types.hpp"
#include "trainer/data/moments.hpp"

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace natgrad::trainer {

/// Targets, (count, columns) row by row.
struct TargetColumns {
  std::span<const double> numbers;
  std::int64_t columns = 1;

  std::int64_t count() const { return static_cast<std::int64_t>(numbers.size()) / columns; }
  Moments moments(std::int64_t column) const;
};

/// What natgrad-train has to know of a likelihood: a row of the table.
struct TrainedLikelihood {
  Likelihood likelihood;
  std::string name;          ///< as --likelihood takes it
  std::string figure;        ///< key of the metrics for what the library reports beside the loss
  bool figure_is_a_square;   ///< the mean of it is one of squares, whose root is told
  bool has_one_target;       ///< one column of targets, which names classes
  bool targets_have_a_unit;  ///< any number may be one: they are standardized like the inputs
  std::string support;       ///< what a target must be, in words
  bool (*supports)(double target);
  /// Outputs of the model for targets like these, where `all` are those of training and test.
  std::int64_t (*outputs)(const TargetColumns& all);
  /// The outputs whose distribution has the means of the targets, and their deviations where it
  /// has a place for these: with them as last bias a model need not learn these first. Where the
  /// mean lies on the rim of the support, that of half a sample more within it.
  std::vector<double> (*link_of_mean)(const TargetColumns& targets, std::int64_t outputs);
};

const std::vector<TrainedLikelihood>& trained_likelihoods();
const TrainedLikelihood& row_of(Likelihood likelihood);

}  // namespace natgrad::trainer
