#pragma once

#include <array>
#include <cstdint>

// Pole balancing: a cart on a rail carries a pole that stands on a hinge, and every 0.02 s a force
// of 10 N pushes the cart to the left or to the right (Barto, Sutton, Anderson 1983, "Neuronlike
// adaptive elements that can solve difficult learning control problems"; without friction, as
// CartPole-v1 of Gym has it). A step earns a reward of 1. An episode ends when the cart is more
// than 2.4 m from the middle or the pole more than 12 degrees from the vertical, and after 500
// steps at the latest.

namespace natgrad::trainer {

/// Position of the cart (m), its velocity (m/s), angle of the pole from the vertical (rad), its
/// angular velocity (rad/s).
using PoleState = std::array<double, 4>;

inline constexpr std::int64_t longest_episode = 500;  ///< steps

/// The state 0.02 s later, by Euler's method.
PoleState pushed(const PoleState& state, bool to_the_right);

/// Whether cart or pole is beyond its limit.
bool has_fallen(const PoleState& state);

/// The state as a policy sees it: position and angle in units of their limits, the velocities in
/// units of 2 m/s and 2 rad/s.
std::array<double, 4> features(const PoleState& state);

/// The first state of an episode: four numbers uniform in +-0.05, a function of the arguments
/// alone. `environment` < 2^32.
PoleState first_state(std::uint64_t seed, std::int64_t environment, std::int64_t episode);

/// Whether an action drawn with probability `right` is a push to the right: a function of the
/// arguments alone. `step` counts those of the environment. `environment` < 2^32.
bool draw_action(double right, std::uint64_t seed, std::int64_t environment, std::int64_t step);

/// One pole after the other: an episode that has ended is followed by the next.
struct PoleEnvironment {
  std::uint64_t seed = 0;
  std::int64_t number = 0;   ///< of the environment
  std::int64_t episode = 0;  ///< of the present one, from 0
  std::int64_t length = 0;   ///< its steps so far
  PoleState state = {};

  /// What a step led to.
  struct Step {
    PoleState after = {};     ///< before a new episode begins
    bool fell = false;        ///< the pole, or the cart at the end of the rail
    bool ended = false;       ///< fell, or the episode has its 500 steps
    std::int64_t length = 0;  ///< of the episode, with this step
  };

  /// Begins an episode.
  void start(std::int64_t which);
  /// Pushes the cart, and begins the next episode where this one has ended.
  Step step(bool to_the_right);
};

}  // namespace natgrad::trainer
