#include "trainer/control/rollout.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

namespace natgrad::trainer {

namespace {

constexpr std::size_t most_lengths = 20;

/// Numbers of the environments that are played for evaluations: above all others.
constexpr std::int64_t first_of_evaluations = std::int64_t{1} << 31;

bool all_finite(const std::vector<double>& numbers) {
  return std::ranges::all_of(numbers, [](double x) { return std::isfinite(x); });
}

}  // namespace

std::vector<double> Rollout::advantages(double discount, double trace) const {
  std::vector<double> all;
  all.reserve(steps.size());
  for (auto first = steps.begin(); first != steps.end(); first += length) {
    const std::vector<double> part = trainer::advantages({first, first + length}, discount, trace);
    all.insert(all.end(), part.begin(), part.end());
  }
  return all;
}

Environments::Environments(std::uint64_t seed, std::int64_t count) : seed_(seed) {
  for (std::int64_t number = 0; number < count; ++number) {
    poles_.push_back({.seed = seed, .number = number});
    poles_.back().start(0);
  }
}

Rollout Environments::play(Policy& policy, const ValueFunction& values, std::int64_t length) {
  const std::size_t count = poles_.size();
  const std::size_t rows = count * static_cast<std::size_t>(length);
  Rollout rollout = {.states = std::vector<PoleState>(rows),
                     .actions = std::vector<std::int32_t>(rows),
                     .steps = std::vector<Transition>(rows),
                     .length = length};
  std::vector<PoleState> states(count);
  for (std::int64_t t = 0; t < length; ++t, ++taken_) {
    for (std::size_t e = 0; e < count; ++e) states[e] = poles_[e].state;
    const std::vector<double> right = policy.right(states);
    rollout.is_finite = rollout.is_finite && all_finite(right);
    for (std::size_t e = 0; e < count; ++e) {
      PoleEnvironment& pole = poles_[e];
      const bool action = draw_action(right[e], seed_, pole.number, taken_);
      const PoleEnvironment::Step step = pole.step(action);
      const std::size_t row = e * static_cast<std::size_t>(length) + static_cast<std::size_t>(t);
      rollout.states[row] = states[e];
      rollout.actions[row] = action ? 1 : 0;
      // An episode that ended because time was up would have gone on: its last state has a value.
      rollout.steps[row] = {.reward = 1,
                            .value = values.at(states[e]),
                            .next_value = step.fell ? 0 : values.at(step.after),
                            .ended = step.ended};
      if (step.ended) record(step.length);
    }
  }
  return rollout;
}

double Environments::mean_length() const {
  double sum = 0;
  if (lengths_.empty()) {
    for (const PoleEnvironment& pole : poles_) sum += static_cast<double>(pole.length);
    return sum / static_cast<double>(poles_.size());
  }
  for (const std::int64_t length : lengths_) sum += static_cast<double>(length);
  return sum / static_cast<double>(lengths_.size());
}

void Environments::set_state(State state) {
  taken_ = state.taken;
  poles_ = std::move(state.poles);
  lengths_ = std::move(state.lengths);
}

void Environments::record(std::int64_t length) {
  lengths_.push_back(length);
  if (lengths_.size() > most_lengths) lengths_.pop_front();
}

std::vector<double> play_episodes(Policy& policy, std::uint64_t seed, std::int64_t episodes,
                                  std::int64_t which) {
  std::vector<double> lengths(static_cast<std::size_t>(episodes));
  std::vector<PoleEnvironment> open;  // of the episodes that have not ended
  for (std::int64_t episode = 0; episode < episodes; ++episode) {
    open.push_back({.seed = seed, .number = first_of_evaluations + episode});
    open.back().start(which);
  }
  for (std::int64_t t = 0; !open.empty(); ++t) {
    std::vector<PoleState> states(open.size());
    for (std::size_t i = 0; i < open.size(); ++i) states[i] = open[i].state;
    const std::vector<double> right = policy.right(states);
    if (!all_finite(right)) {
      std::ranges::fill(lengths, std::numeric_limits<double>::quiet_NaN());
      return lengths;
    }
    std::vector<PoleEnvironment> still_open;
    for (std::size_t i = 0; i < open.size(); ++i) {
      PoleEnvironment pole = open[i];
      const bool action = draw_action(right[i], seed, pole.number, which * longest_episode + t);
      const PoleEnvironment::Step step = pole.step(action);
      if (step.ended) {
        lengths[static_cast<std::size_t>(pole.number - first_of_evaluations)] =
            static_cast<double>(step.length);
      } else {
        still_open.push_back(pole);
      }
    }
    open = std::move(still_open);
  }
  return lengths;
}

}  // namespace natgrad::trainer
