#pragma once

#include "natgrad/types.hpp"

namespace natgrad {

/// The distribution p(y | z) of a model's targets given its outputs: a likelihood, and the numbers
/// of it that are no outputs.
struct OutputDistribution {
  Likelihood likelihood = Likelihood::categorical;
  double sigma = 1;  // standard deviation of Likelihood::gaussian
};

}  // namespace natgrad
