#pragma once

#include <cstddef>
#include <vector>

namespace natgrad::trainer {

/// One step of an environment, as the advantages see it.
struct Transition {
  double reward = 0;
  double value = 0;       ///< V of the state before the step
  double next_value = 0;  ///< V of the state behind it; 0 of one from which there is no reward
  bool ended = false;     ///< what follows is another episode's
};

/// How much more than V each action of one environment's consecutive steps has earned, by
/// generalized advantage estimation (Schulman, Moritz, Levine, Jordan, Abbeel 2016, eq. 16):
/// A_t = delta_t + discount trace A_{t+1}, delta_t = reward_t + discount V_{t+1} - V_t, and A = 0
/// behind the end of an episode and behind the last step.
std::vector<double> advantages(const std::vector<Transition>& steps, double discount, double trace);

/// Subtracts the mean. Numbers that are all equal become exactly 0: a step along their rounding
/// would be as long as the trust region.
void centre(std::vector<double>& numbers);

}  // namespace natgrad::trainer
