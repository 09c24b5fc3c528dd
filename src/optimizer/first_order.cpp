#include "natgrad/first_order.hpp"

#include "core/context_state.hpp"
#include "core/memory_errors.hpp"
#include "core/operands.hpp"
#include "core/option_errors.hpp"
#include "kernels/formulas/updated_tensor.hpp"
#include "optimizer/first_order_access.hpp"

#include <cstdint>
#include <utility>
#include <vector>

namespace natgrad {

struct FirstOrder::State {
  Parameters parameters;
  Options options;
  std::int64_t size = 0;  // P when the averages were allocated
  Array mean = {};  // (P): the velocity where there is momentum, or Adam's average of the gradient
  Array square = {};                   // (P): Adam's average of its square
  std::vector<UpdatedTensor> updates;  // one a tensor
  std::int64_t steps = 0;

  void require_same_size() const;
  void sgd_step(const Sgd& sgd, const ConstView& gradient);
  void adam_step(const Adam& adam, const ConstView& gradient);
};

namespace {

void check_options(const FirstOrder::Options& options) {
  detail::OptionErrors errors("first-order optimizer");
  errors.check("rate", options.rate, options.rate > 0, "finite and > 0");
  errors.check("weight_decay", options.weight_decay,
               options.weight_decay >= 0 && !(options.rate * options.weight_decay > 1),
               "finite, >= 0 and <= 1 / rate");
  const auto check_decay = [&](const char* name, double value) {
    errors.check(name, value, value >= 0 && value < 1, ">= 0 and < 1");
  };
  if (const auto* sgd = std::get_if<Sgd>(&options.rule)) {
    check_decay("momentum", sgd->momentum);
  } else {
    const auto& adam = std::get<Adam>(options.rule);
    check_decay("beta1", adam.beta1);
    check_decay("beta2", adam.beta2);
    errors.check("epsilon", adam.epsilon, adam.epsilon > 0, "finite and > 0");
  }
  errors.throw_if_any();
}

}  // namespace

FirstOrder::FirstOrder(Parameters parameters, Options options) {
  detail::with_memory_errors([&] {
    check_options(options);
    if (parameters.segments() == 0) {
      throw ArgumentError("first-order optimizer: there are no parameters");
    }
    const Context& context = parameters.context();
    const Shape shape = {parameters.size(), 1};
    Backend& backend = context.state().backend();
    state_ = std::make_unique<State>(
        State{.parameters = parameters, .options = options, .size = shape.rows, .updates = {}});
    state_->updates.resize(static_cast<std::size_t>(parameters.segments()));
    const auto* sgd = std::get_if<Sgd>(&options.rule);
    if (sgd == nullptr || sgd->momentum > 0) {
      state_->mean = context.array(shape, parameters.type());
      backend.fill(0, state_->mean);
    }
    if (std::holds_alternative<Adam>(options.rule)) {
      state_->square = context.array(shape, parameters.type());
      backend.fill(0, state_->square);
    }
  });
}

FirstOrder::~FirstOrder() = default;
FirstOrder::FirstOrder(FirstOrder&&) noexcept = default;
FirstOrder& FirstOrder::operator=(FirstOrder&&) noexcept = default;

const FirstOrder::Options& FirstOrder::options() const { return state_->options; }
const Parameters& FirstOrder::parameters() const { return state_->parameters; }

void FirstOrder::step(const ConstView& gradient) {
  detail::with_memory_errors([&] {
    State& s = *state_;
    s.require_same_size();
    detail::require_operand("gradient", gradient, {s.size, 1}, s.parameters.type(),
                            s.parameters.context().state().memory());
    ++s.steps;  // nothing throws from here on but a driver
    if (const auto* sgd = std::get_if<Sgd>(&s.options.rule)) {
      s.sgd_step(*sgd, gradient);
    } else {
      s.adam_step(std::get<Adam>(s.options.rule), gradient);
    }
  });
}

void FirstOrder::State::require_same_size() const {
  if (parameters.size() == size) return;
  throw ArgumentError(detail::message("first-order optimizer: the parameters have grown from ",
                                      size, " to ", parameters.size(), " since it was made"));
}

void FirstOrder::State::sgd_step(const Sgd& sgd, const ConstView& gradient) {
  Backend& backend = parameters.context().state().backend();
  if (!mean.empty()) backend.axpby(1.0, gradient, sgd.momentum, mean);
  const ConstView velocity = mean.empty() ? gradient : mean;
  for (int i = 0; i < parameters.segments(); ++i) {
    updates[static_cast<std::size_t>(i)] = {parameters.tensor({i}), parameters.part({i}, velocity)};
  }
  backend.update(1.0, updates, options.rate, options.rate * options.weight_decay);
}

void FirstOrder::State::adam_step(const Adam& adam, const ConstView& gradient) {
  Backend& backend = parameters.context().state().backend();
  const double shrink = options.rate * options.weight_decay;
  for (int i = 0; i < parameters.segments(); ++i) {
    const View& theta = parameters.tensor({i});
    if (shrink != 0) backend.axpby(-shrink, theta, 1.0, theta);
    backend.adam(parameters.part({i}, gradient), options.rate, adam.beta1, adam.beta2, adam.epsilon,
                 steps, parameters.part({i}, mean.view()), parameters.part({i}, square.view()),
                 theta);
  }
}

detail::SavedState detail::FirstOrderAccess::saved_state(const FirstOrder& optimizer) {
  FirstOrder::State& s = *optimizer.state_;
  s.require_same_size();
  SavedState state{.parameters = s.parameters, .optimizer = "sgd"};
  state.counters = {{"counters.steps", &s.steps}};
  const auto add = [&](const char* name, const Array& numbers) {
    SavedTensors tensors{.name = name, .segments = {}, .numbers = numbers};
    for (int i = 0; i < s.parameters.segments(); ++i) tensors.segments.push_back({i});
    state.tensors.push_back(std::move(tensors));
  };
  if (std::holds_alternative<Adam>(s.options.rule)) {
    state.optimizer = "adam";
    add("first_moment", s.mean);
    add("second_moment", s.square);
  } else if (!s.mean.empty()) {
    state.optimizer = "sgd with momentum";
    add("momentum", s.mean);
  }
  return state;
}

}  // namespace natgrad
