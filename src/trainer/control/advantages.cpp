#include "trainer/control/advantages.hpp"

namespace natgrad::trainer {

std::vector<double> advantages(const std::vector<Transition>& steps, double discount,
                               double trace) {
  std::vector<double> result(steps.size());
  double behind = 0;
  for (std::size_t t = steps.size(); t-- > 0;) {
    const Transition& step = steps[t];
    const double delta = step.reward + discount * step.next_value - step.value;
    behind = delta + (step.ended ? 0 : discount * trace * behind);
    result[t] = behind;
  }
  return result;
}

void centre(std::vector<double>& numbers) {
  if (numbers.empty()) return;
  const double first = numbers.front();
  double sum = 0;
  for (const double number : numbers) sum += number - first;
  const double mean = first + sum / static_cast<double>(numbers.size());
  for (double& number : numbers) number -= mean;
}

}  // namespace natgrad::trainer
