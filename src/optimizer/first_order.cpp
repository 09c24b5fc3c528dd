#include "optimizer/first_order.hpp"

#include "core/context_state.hpp"
#include "core/message.hpp"
#include "core/operands.hpp"
#include "core/option_errors.hpp"
#include "natgrad/error.hpp"

#include <utility>

namespace natgrad {

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

FirstOrder::FirstOrder(Parameters parameters, Options options)
    : parameters_(std::move(parameters)), options_(options) {
  check_options(options_);
  const Context& context = parameters_.context();
  const Shape shape = {parameters_.size(), 1};
  Backend& backend = context.state().backend();
  const auto* sgd = std::get_if<Sgd>(&options_.rule);
  if (sgd == nullptr || sgd->momentum > 0) {
    mean_ = context.array(shape, parameters_.type());
    backend.fill(0, mean_);
  }
  if (std::holds_alternative<Adam>(options_.rule)) {
    square_ = context.array(shape, parameters_.type());
    backend.fill(0, square_);
  }
}

void FirstOrder::step(const ConstView& gradient) {
  const Context& context = parameters_.context();
  detail::require_operand("gradient", gradient, {parameters_.size(), 1}, parameters_.type(),
                          context.state().memory());
  ++steps_;
  if (const auto* sgd = std::get_if<Sgd>(&options_.rule)) {
    sgd_step(*sgd, gradient);
  } else {
    adam_step(std::get<Adam>(options_.rule), gradient);
  }
}

void FirstOrder::sgd_step(const Sgd& sgd, const ConstView& gradient) {
  Backend& backend = parameters_.context().state().backend();
  if (!mean_.empty()) backend.axpby(1.0, gradient, sgd.momentum, mean_);
  const ConstView velocity = mean_.empty() ? gradient : mean_;
  updates_.resize(static_cast<std::size_t>(parameters_.segments()));
  for (int i = 0; i < parameters_.segments(); ++i) {
    updates_[static_cast<std::size_t>(i)] = {parameters_.tensor({i}),
                                             parameters_.part({i}, velocity)};
  }
  backend.update(1.0, updates_, options_.rate, options_.rate * options_.weight_decay);
}

void FirstOrder::adam_step(const Adam& adam, const ConstView& gradient) {
  Backend& backend = parameters_.context().state().backend();
  const double shrink = options_.rate * options_.weight_decay;
  for (int i = 0; i < parameters_.segments(); ++i) {
    const View& theta = parameters_.tensor({i});
    if (shrink != 0) backend.axpby(-shrink, theta, 1.0, theta);
    backend.adam(parameters_.part({i}, gradient), options_.rate, adam.beta1, adam.beta2,
                 adam.epsilon, steps_, parameters_.part({i}, mean_.view()),
                 parameters_.part({i}, square_.view()), theta);
  }
}

namespace detail {

SavedState FirstOrderAccess::saved_state(const FirstOrder& optimizer) {
  const Parameters& parameters = optimizer.parameters_;
  SavedState state{.parameters = parameters, .optimizer = "sgd"};
  state.counters = {{"counters.steps", &optimizer.steps_}};
  const auto add = [&](const char* name, const Array& numbers) {
    if (numbers.view().size() != parameters.size()) {
      throw ArgumentError(message("first-order optimizer: the parameters have grown from ",
                                  numbers.view().size(), " to ", parameters.size(),
                                  " since it was made"));
    }
    SavedTensors tensors{.name = name, .segments = {}, .numbers = numbers};
    for (int i = 0; i < parameters.segments(); ++i) tensors.segments.push_back({i});
    state.tensors.push_back(std::move(tensors));
  };
  if (std::holds_alternative<Adam>(optimizer.options_.rule)) {
    state.optimizer = "adam";
    add("first_moment", optimizer.mean_);
    add("second_moment", optimizer.square_);
  } else if (!optimizer.mean_.empty()) {
    state.optimizer = "sgd with momentum";
    add("momentum", optimizer.mean_);
  }
  return state;
}

}  // namespace detail

}  // namespace natgrad
