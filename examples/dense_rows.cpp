// The natural policy gradient on a bandit with three arms, the policy a softmax of theta. The rows
// are an (N, P) array and centred. The program ends well when the best arm has most of the policy.
#include <natgrad/natgrad.hpp>

#include <array>
#include <cmath>
#include <cstdio>
#include <random>
#include <vector>

int main() {
  constexpr int N = 50, A = 3;
  const std::array<double, A> mean_reward = {1.0, 1.2, 2.0};
  std::vector<double> theta(A), rows(N * A), rewards(N);
  std::array<double, A> policy{};
  natgrad::Parameters parameters(natgrad::Context::cpu());
  parameters.add({theta.data(), {A}}, "theta");
  natgrad::NaturalGradient optimizer(parameters, {.damping = {.absolute = 1e-3},
                                                  .step = natgrad::KlTrustRegion{.radius = 0.02},
                                                  .momentum = natgrad::NoMomentum{}});
  natgrad::DenseScores scores(parameters, {.kind = natgrad::FisherKind::sampled});
  std::mt19937 random(1);

  for (int step = 0; step < 15; ++step) {
    double sum = 0;
    for (int k = 0; k < A; ++k) sum += policy[k] = std::exp(theta[k]);
    for (double& p : policy) p /= sum;
    for (int n = 0; n < N; ++n) {
      const double draw = static_cast<double>(random()) / 4294967296.0;
      const int arm = draw < policy[0] ? 0 : draw < policy[0] + policy[1] ? 1 : 2;
      const double noise = static_cast<double>(random()) / 4294967296.0 - 0.5;
      rewards[n] = mean_reward[arm] + noise;
      for (int k = 0; k < A; ++k) rows[n * A + k] = (k == arm ? 1 : 0) - policy[k];
    }
    // [shown]
    // Row n: d log p(action n) / d theta. Centred: rewards less their mean, which are advantages.
    scores.begin({rows.data(), {N, A}},
                 {.coefficients = {rewards.data(), {N}}, .centering = natgrad::Centering::rows});
    optimizer.step(scores);
    // [end]
  }
  std::printf("policy %.3f %.3f %.3f\n", policy[0], policy[1], policy[2]);
  return policy[2] > 0.8 ? 0 : 1;
}
