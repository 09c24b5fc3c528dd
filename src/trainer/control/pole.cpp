#include "trainer/control/pole.hpp"

#include "trainer/data/random.hpp"

#include <cmath>

namespace natgrad::trainer {

namespace {

constexpr double gravity = 9.8;  // m/s^2
constexpr double cart_mass = 1;  // kg
constexpr double pole_mass = 0.1;
constexpr double mass = cart_mass + pole_mass;
constexpr double half_length = 0.5;  // m, of the pole
constexpr double force = 10;         // N
constexpr double time_step = 0.02;   // s
constexpr double position_limit = 2.4;
constexpr double angle_limit = 12 * 3.14159265358979323846 / 180;
constexpr double velocity_unit = 2;

/// Uniform in [0, 1): the upper 53 bits, exact in double.
double uniform(std::uint64_t bits) { return static_cast<double>(bits >> 11) * 0x1.0p-53; }

}  // namespace

PoleState pushed(const PoleState& state, bool to_the_right) {
  const auto [position, velocity, angle, angular_velocity] = state;
  const double sine = std::sin(angle);
  const double cosine = std::cos(angle);
  const double moment = pole_mass * half_length;
  const double push =
      ((to_the_right ? force : -force) + moment * angular_velocity * angular_velocity * sine) /
      mass;
  const double angular_acceleration =
      (gravity * sine - cosine * push) /
      (half_length * (4.0 / 3.0 - pole_mass * cosine * cosine / mass));
  const double acceleration = push - moment * angular_acceleration * cosine / mass;
  return {position + time_step * velocity, velocity + time_step * acceleration,
          angle + time_step * angular_velocity,
          angular_velocity + time_step * angular_acceleration};
}

bool has_fallen(const PoleState& state) {
  return std::abs(state[0]) > position_limit || std::abs(state[2]) > angle_limit;
}

std::array<double, 4> features(const PoleState& state) {
  return {state[0] / position_limit, state[1] / velocity_unit, state[2] / angle_limit,
          state[3] / velocity_unit};
}

PoleState first_state(std::uint64_t seed, std::int64_t environment, std::int64_t episode) {
  PoleState state{};
  for (std::size_t i = 0; i < state.size(); ++i) {
    const auto index = state.size() * static_cast<std::uint64_t>(episode) + i;
    const auto part = static_cast<std::uint32_t>(environment);
    state[i] = 0.1 * uniform(random_bits(seed, RandomStream::starts, part, index)) - 0.05;
  }
  return state;
}

bool draw_action(double right, std::uint64_t seed, std::int64_t environment, std::int64_t step) {
  const std::uint64_t bits =
      random_bits(seed, RandomStream::actions, static_cast<std::uint32_t>(environment),
                  static_cast<std::uint64_t>(step));
  return uniform(bits) < right;
}

void PoleEnvironment::start(std::int64_t which) {
  episode = which;
  length = 0;
  state = first_state(seed, number, episode);
}

PoleEnvironment::Step PoleEnvironment::step(bool to_the_right) {
  state = pushed(state, to_the_right);
  ++length;
  const bool fell = has_fallen(state);
  const Step result = {
      .after = state, .fell = fell, .ended = fell || length == longest_episode, .length = length};
  if (result.ended) start(episode + 1);
  return result;
}

}  // namespace natgrad::trainer
