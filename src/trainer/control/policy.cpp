#include "trainer/control/policy.hpp"

#include <cmath>

namespace natgrad::trainer {

namespace {

constexpr auto state_size = static_cast<std::int64_t>(std::tuple_size_v<PoleState>);

std::vector<double> read_numbers(const Context& context, const ConstView& array) {
  std::vector<double> numbers(static_cast<std::size_t>(array.size()));
  if (array.type() == ElementType::float64) {
    context.read(array, numbers.data());
    return numbers;
  }
  std::vector<float> floats(numbers.size());
  context.read(array, floats.data());
  return {floats.begin(), floats.end()};
}

}  // namespace

void write_numbers(const Context& context, const std::vector<double>& numbers, const View& array) {
  if (array.type() == ElementType::float64) return context.write(numbers.data(), array);
  std::vector<float> floats(numbers.size());
  for (std::size_t i = 0; i < numbers.size(); ++i) floats[i] = static_cast<float>(numbers[i]);
  context.write(floats.data(), array);
}

Policy::Policy(FullyConnected& net, std::int64_t largest)
    : net_(net),
      inputs_(net.parameters().context().array({largest, state_size}, net.options().type)) {}

void Policy::forward(const std::vector<PoleState>& states) {
  std::vector<double> inputs;
  inputs.reserve(states.size() * std::tuple_size_v<PoleState>);
  for (const PoleState& state : states) {
    const auto numbers = features(state);
    inputs.insert(inputs.end(), numbers.begin(), numbers.end());
  }
  const View view = inputs_.view().row_range(0, static_cast<std::int64_t>(states.size()));
  write_numbers(net_.parameters().context(), inputs, view);
  given_ = view;
  net_.forward(given_);
}

void Policy::forward_again() { net_.forward(given_); }

std::vector<double> Policy::right(const std::vector<PoleState>& states) {
  forward(states);
  const std::vector<double> z = read_numbers(net_.parameters().context(), net_.outputs());
  std::vector<double> probabilities(states.size());
  for (std::size_t n = 0; n < states.size(); ++n) {
    probabilities[n] = 1 / (1 + std::exp(z[2 * n] - z[2 * n + 1]));
  }
  return probabilities;
}

std::int64_t Policy::bytes(ElementType type, std::int64_t largest) {
  return largest * state_size * size_of(type);
}

}  // namespace natgrad::trainer
