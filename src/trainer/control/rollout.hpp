#pragma once

#include "trainer/control/advantages.hpp"
#include "trainer/control/pole.hpp"
#include "trainer/control/policy.hpp"
#include "trainer/control/value_function.hpp"

#include <cstdint>
#include <deque>
#include <vector>

namespace natgrad::trainer {

/// What environments under one policy went through, environment after environment, each in the
/// order of its steps.
struct Rollout {
  std::vector<PoleState> states;      // (N), before the steps
  std::vector<std::int32_t> actions;  // (N), 1: to the right
  std::vector<Transition> steps;      // (N)
  std::int64_t length = 0;            ///< steps of each environment
  bool is_finite = true;              ///< the policy's probabilities are

  std::vector<double> advantages(double discount, double trace) const;
};

/// Environments side by side, which go on from rollout to rollout.
class Environments {
 public:
  /// All at the beginning of their first episodes. `count` < 2^31.
  Environments(std::uint64_t seed, std::int64_t count);

  /// Plays `length` steps of each under `policy`. Waits.
  Rollout play(Policy& policy, const ValueFunction& values, std::int64_t length);

  /// Steps taken, of all environments together.
  std::int64_t steps() const { return taken_ * static_cast<std::int64_t>(poles_.size()); }
  /// Mean length of the last 20 episodes that have ended; before one has, of the present ones.
  double mean_length() const;

  /// All that the next rollout depends on.
  struct State {
    std::int64_t taken = 0;  ///< steps of each environment
    std::vector<PoleEnvironment> poles;
    std::deque<std::int64_t> lengths;  ///< of the last episodes that ended, oldest first
  };
  State state() const { return {taken_, poles_, lengths_}; }
  void set_state(State state);

 private:
  void record(std::int64_t length);

  std::uint64_t seed_;
  std::int64_t taken_ = 0;
  std::vector<PoleEnvironment> poles_;
  std::deque<std::int64_t> lengths_;
};

/// Returns the lengths of `episodes` episodes that are played to their ends under `policy`, with
/// starts and actions that no other rollout has; other ones for another `which`. NaN of a policy
/// that is not finite. Waits.
std::vector<double> play_episodes(Policy& policy, std::uint64_t seed, std::int64_t episodes,
                                  std::int64_t which);

}  // namespace natgrad::trainer
