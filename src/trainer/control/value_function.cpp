#include "trainer/control/value_function.hpp"

namespace natgrad::trainer {

namespace {

constexpr auto count = static_cast<std::int64_t>(ValueFunction::size);

// In units of the mean square of a feature: no direction that the states leave open is followed
// far.
constexpr double damping = 1e-3;

std::array<double, ValueFunction::size> monomials(const PoleState& state) {
  const std::array<double, 4> x = features(state);
  std::array<double, ValueFunction::size> phi{1};
  std::size_t next = 1;
  for (std::size_t i = 0; i < x.size(); ++i) {
    phi[next++] = x[i];
    for (std::size_t j = 0; j <= i; ++j) phi[next++] = x[i] * x[j];
  }
  return phi;
}

}  // namespace

ValueFunction::ValueFunction(const Context& context, std::int64_t largest)
    : context_(context),
      largest_(largest),
      theta_(context.array({count, 1}, ElementType::float64)),
      rows_(context.array({largest, count}, ElementType::float64)),
      distances_(context.array({largest, 1}, ElementType::float64)),
      parameters_([&] {
        Parameters parameters(context);
        parameters.add(theta_, "value function");
        return parameters;
      }()),
      scores_(parameters_, {.kind = FisherKind::residual}),
      optimizer_(
          parameters_,
          {.damping = {.absolute = damping}, .step = FixedRate{1}, .momentum = NoMomentum{}}) {
  set_weights({});
}

double ValueFunction::at(const PoleState& state) const {
  const auto phi = monomials(state);
  double sum = 0;
  for (std::size_t i = 0; i < size; ++i) sum += weights_[i] * phi[i];
  return sum;
}

void ValueFunction::fit(const std::vector<PoleState>& states,
                        const std::vector<double>& distances) {
  std::vector<double> rows;
  rows.reserve(states.size() * size);
  for (const PoleState& state : states) {
    const auto phi = monomials(state);
    rows.insert(rows.end(), phi.begin(), phi.end());
  }
  const auto n = static_cast<std::int64_t>(states.size());
  const View on_device = rows_.view().row_range(0, n);
  const View coefficients = distances_.view().row_range(0, n);
  context_.write(rows.data(), on_device);
  context_.write(distances.data(), coefficients);
  scores_.begin(on_device, {.coefficients = coefficients});
  optimizer_.step(scores_);
  context_.read(theta_, weights_.data());
}

void ValueFunction::set_weights(const Weights& weights) {
  weights_ = weights;
  context_.write(weights_.data(), theta_);
}

std::int64_t ValueFunction::bytes() const {
  const MemoryPlan plan = optimizer_.plan(ScoresShape{.samples = largest_});
  return plan.bytes - plan.scratch_bytes + (count * (1 + largest_) + largest_) * 8;
}

}  // namespace natgrad::trainer
