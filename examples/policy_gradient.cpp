// A natural policy gradient that learns to balance a pole: a net plays, the scores of the actions
// it took are the rows, what they earned are the coefficients, and a step is a KL divergence long.
// The program ends well when the mean episode of the last policy has 150 of 200 steps or more, and
// no step was predicted to be longer than the radius.
#include <natgrad/natgrad.hpp>

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <random>
#include <vector>

namespace {

struct Pole {  // Barto, Sutton, Anderson 1983, in units of 0.2 m, m/s, 0.05 rad and rad/s
  float x = 0, v = 0, angle = 0, w = 0;
  int steps = 0;
  bool fallen() const { return std::abs(x) > 12 || std::abs(angle) > 4.19F; }
  void push(float force) {
    const float sine = std::sin(angle / 20), cosine = std::cos(angle / 20);
    const float push = (force + 0.05F * w * w * sine) / 1.1F;
    const float alpha = (9.8F * sine - cosine * push) / (0.6667F - 0.04545F * cosine * cosine);
    x += 0.1F * v;
    v += 0.02F * (push - 0.04545F * alpha * cosine);
    angle += 0.4F * w;
    w += 0.02F * alpha;
    ++steps;
  }
};

}  // namespace

int main() {
  constexpr int poles = 30, longest = 200;
  const double radius = 0.02, discount = 0.95;
  natgrad::FullyConnected policy(natgrad::Context::cpu(), {.sizes = {4, 2}});
  natgrad::NaturalGradient optimizer(
      policy.parameters(), {.damping = {.absolute = 1e-3},
                            .step = natgrad::KlTrustRegion{.radius = radius, .max_rate = 1},
                            .momentum = natgrad::NoMomentum{}});
  natgrad::LayerScores scores(policy.parameters(), {.kind = natgrad::FisherKind::sampled});
  std::mt19937 random(1);
  double mean = 0;
  bool within = true;
  for (int update = 0; update < 40; ++update) {
    std::vector<Pole> pole(poles);
    for (Pole& p : pole) p.angle = static_cast<float>(random() % 1001) / 500 - 1;
    std::vector<float> states;          // those of the whole batch
    std::vector<std::int32_t> actions;  // 1: to the right
    std::vector<int> whose, when;
    for (int t = 0; t < longest; ++t) {
      std::vector<float> now;
      for (const Pole& p : pole) now.insert(now.end(), {p.x, p.v, p.angle, p.w});
      policy.forward({now.data(), {poles, 4}});
      policy.sample();
      const std::int32_t* drawn = policy.sampled_targets().as<std::int32_t>();
      for (int i = 0; i < poles; ++i) {
        if (pole[i].fallen()) continue;
        states.insert(states.end(), now.begin() + 4 * i, now.begin() + 4 * i + 4);
        actions.push_back(drawn[i]);
        whose.push_back(i);
        when.push_back(t);
        pole[i].push(drawn[i] == 1 ? 10.0F : -10.0F);
      }
    }
    const auto N = static_cast<std::int64_t>(actions.size());
    mean = static_cast<double>(N) / poles;
    std::vector<double> rewards;  // 1 a step, discounted; of a pole that stands, for ever
    for (std::int64_t n = 0; n < N; ++n) {
      const Pole& p = pole[whose[n]];
      const double lost = p.fallen() ? std::pow(discount, p.steps - when[n]) : 0;
      rewards.push_back((1 - lost) / (1 - discount));
    }
    // [shown]
    // Row n: the score of action n, which the policy drew. Centred: rewards less their mean.
    policy.forward({states.data(), {N, 4}});
    policy.backward({actions.data(), {N}});
    policy.add_to(scores, {.samples = N,
                           .coefficients = {rewards.data(), {N}},
                           .centering = natgrad::Centering::rows});
    optimizer.step(scores);
    // [end]
    within = within && *optimizer.report().predicted_kl <= radius * (1 + 1e-6);
    if (update % 5 == 0) std::printf("update %2d: %5.1f steps an episode\n", update, mean);
  }
  std::printf("the last: %.1f of %d\n", mean, longest);
  return mean > 150 && within ? 0 : 1;
}
