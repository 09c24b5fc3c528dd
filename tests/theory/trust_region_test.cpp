#include "natgrad/natgrad.hpp"
#include "support/likelihood_net.hpp"
#include "support/plain.hpp"
#include "support/sanitized.hpp"
#include "support/tolerance.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

// Row 6 of the table in docs/architecture.md: a step of KlTrustRegion along the exact natural
// gradient has the KL divergence that was asked for, up to third order.

namespace natgrad::tests {

namespace {

constexpr double radius = 1e-4;

FullyConnected::Options options_of(Likelihood likelihood, std::vector<std::int64_t> hidden) {
  std::vector<std::int64_t> sizes{3};
  sizes.insert(sizes.end(), hidden.begin(), hidden.end());
  sizes.push_back(likelihood == Likelihood::categorical ? 3 : 2);
  return {.sizes = sizes, .likelihood = likelihood, .sigma = 0.7, .type = ElementType::float64};
}

/// The model's own KL divergence over a step of this radius, as a share of it; the parameters are
/// put back.
double share_of_radius(LikelihoodNet& model, double asked, double damping) {
  const Numbers theta = model.theta();
  model.net.forward(model.inputs.view());
  model.net.keep_outputs();
  const LayerScores exact = model.exact();
  NaturalGradient optimizer(model.net.parameters(),
                            {.damping = {.absolute = damping},
                             .step = KlTrustRegion{.radius = asked, .max_rate = 1e6},
                             .momentum = NoMomentum{}});
  optimizer.step(exact);
  const StepReport report = optimizer.report();
  EXPECT_EQ(report.outcome, Outcome::accepted) << "damping " << damping;
  EXPECT_TRUE(within(report.predicted_kl.value_or(0), asked, 1e-9 * asked));
  model.net.forward(model.inputs.view());
  const double share = model.kl() / asked;
  model.set_theta(theta);
  return share;
}

constexpr int vectors = sanitized ? 3 : 10;

/// Softmax does not change where all outputs do: its F is singular.
TEST(theory, row_6_of_generalized_linear_models_at_any_damping) {
  for (const EnumeratorName<Likelihood>& row : likelihood_names) {
    for (int vector = 0; vector < vectors; ++vector) {
      LikelihoodNet model(options_of(row.value, {}), 40, 100 + vector);
      const double largest = largest_eigenvalue(dense_fisher(model.exact()));
      const bool singular = row.value == Likelihood::categorical;
      for (double damping : {singular ? 1e-10 : 0, 1e-6, 1e-2, 1.0}) {
        SCOPED_TRACE(std::string(row.name) + ", vector " + std::to_string(vector) + ", damping " +
                     std::to_string(damping));
        EXPECT_TRUE(within(share_of_radius(model, radius, damping * largest), 1, 0.05));
      }
    }
  }
}

double median(Numbers values) {
  std::sort(values.begin(), values.end());
  const std::size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

/// The deviation of the divergence from half the squared norm is of the third order: as a share of
/// the radius it goes as the radius' root.
TEST(theory, row_6_of_nets_with_one_and_two_hidden_layers) {
  for (const EnumeratorName<Likelihood>& row : likelihood_names) {
    for (const std::vector<std::int64_t>& hidden :
         {std::vector<std::int64_t>{5}, std::vector<std::int64_t>{4, 4}}) {
      SCOPED_TRACE(std::string(row.name) + ", hidden layers " + std::to_string(hidden.size()));
      Numbers quotients;
      for (int vector = 0; vector < vectors; ++vector) {
        LikelihoodNet model(options_of(row.value, hidden), 40, 200 + vector);
        const double damping = 1e-2 * largest_eigenvalue(dense_fisher(model.exact()));
        const double whole = share_of_radius(model, radius, damping) - 1;
        const double half = share_of_radius(model, radius / 2, damping) - 1;
        EXPECT_LE(std::abs(whole), 0.12) << "vector " << vector;
        quotients.push_back(std::abs(whole / half));
      }
      const double middle = median(quotients);
      EXPECT_GE(middle, 1.35);
      EXPECT_LE(middle, 1.5);
    }
  }
}

}  // namespace

}  // namespace natgrad::tests
