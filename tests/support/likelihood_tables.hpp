#pragma once

#include "natgrad/types.hpp"
#include "support/plain.hpp"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>

// Tables of numbers for natgrad-train csv, one for each likelihood.

namespace natgrad::tests {

struct LikelihoodTable {
  const char* name;  // as --likelihood takes it, and the column of its targets
  Likelihood likelihood;
  const char* figure;
};

inline constexpr LikelihoodTable likelihood_tables[] = {
    {"categorical", Likelihood::categorical, "accuracy"},
    {"bernoulli", Likelihood::bernoulli, "accuracy"},
    {"gaussian", Likelihood::gaussian, "rmse"},
    {"gaussian-scale", Likelihood::gaussian_scale, "rmse"},
    {"poisson", Likelihood::poisson, "rmse"}};

/// A row of two inputs in unequal units and a target of each kind, whose distribution depends on
/// the inputs. The normal numbers are sums of uniform ones.
inline std::string row_of_every_likelihood(Random& random) {
  const auto uniform = [&] { return 0.5 * (1 + random()); };
  const double x = random();
  const double z = random();
  double normal = 0;
  for (int i = 0; i < 4; ++i) normal += random();
  const int label = (x + 0.3 * random() > 0.3 ? 1 : 0) + (z + 0.3 * random() > 0 ? 1 : 0);
  const int one = uniform() < 1 / (1 + std::exp(-0.3 - 2 * x + z)) ? 1 : 0;
  const double mean = 20 + 5 * x - 3 * z;
  int count = 0;
  for (double product = uniform(); product > std::exp(-std::exp(0.6 + x - 0.5 * z)); ++count) {
    product *= uniform();
  }
  std::string text;
  for (const double number : {100 * x, 3 + 0.01 * z}) text += std::to_string(number) + ',';
  return text + std::to_string(label) + ',' + std::to_string(one) + ',' +
         std::to_string(mean + normal) + ',' + std::to_string(mean + std::exp(0.8 * x) * normal) +
         ',' + std::to_string(count) + '\n';
}

/// A table of so many rows with the two inputs and the target of `kind`.
inline std::string table_of(const LikelihoodTable& kind, int count, std::uint64_t seed) {
  Random random(seed);
  std::string text = "x,z," + std::string(kind.name) + '\n';
  for (int n = 0; n < count; ++n) {
    const std::string row = row_of_every_likelihood(random);
    std::size_t begin = 0;
    for (int column = 0; column < 7; ++column) {
      const std::size_t end = row.find_first_of(",\n", begin);
      const bool is_target = column == 2 + static_cast<int>(kind.likelihood);
      if (column < 2 || is_target) text += row.substr(begin, end - begin) + (column < 2 ? "," : "");
      begin = end + 1;
    }
    text += '\n';
  }
  return text;
}

}  // namespace natgrad::tests
