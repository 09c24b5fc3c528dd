#include "optimizer/first_order.hpp"

#include "core/context_state.hpp"
#include "core/message.hpp"
#include "core/operands.hpp"
#include "natgrad/error.hpp"

#include <cmath>
#include <string_view>
#include <utility>

namespace natgrad {

namespace {

void require(bool holds, std::string_view name, double value, std::string_view expected) {
  if (!holds) throw OptionError(detail::message(name, " = ", value, ", expected ", expected));
}

void validate(const FirstOrder::Options& options) {
  require(std::isfinite(options.rate) && options.rate > 0, "rate", options.rate, "finite and > 0");
  require(std::isfinite(options.weight_decay) && options.weight_decay >= 0, "weight_decay",
          options.weight_decay, "finite and >= 0");
  require(options.rate * options.weight_decay <= 1, "rate * weight_decay",
          options.rate * options.weight_decay, "<= 1");
  const auto is_decay = [](double x) { return x >= 0 && x < 1; };
  if (const auto* sgd = std::get_if<Sgd>(&options.rule)) {
    require(is_decay(sgd->momentum), "momentum", sgd->momentum, "0 <= momentum < 1");
  } else {
    const auto& adam = std::get<Adam>(options.rule);
    require(is_decay(adam.beta1), "beta1", adam.beta1, "0 <= beta1 < 1");
    require(is_decay(adam.beta2), "beta2", adam.beta2, "0 <= beta2 < 1");
    require(std::isfinite(adam.epsilon) && adam.epsilon > 0, "epsilon", adam.epsilon,
            "finite and > 0");
  }
}

}  // namespace

FirstOrder::FirstOrder(Parameters parameters, Options options)
    : parameters_(std::move(parameters)), options_(options) {
  validate(options_);
  const Context& context = parameters_.context();
  const Shape shape = {parameters_.size(), 1};
  Backend& backend = context.state().backend();
  mean_ = context.array(shape, parameters_.type());
  backend.fill(0, mean_);
  if (std::holds_alternative<Adam>(options_.rule)) {
    square_ = context.array(shape, parameters_.type());
    backend.fill(0, square_);
  }
}

void FirstOrder::step(const ConstView& gradient) {
  const Context& context = parameters_.context();
  detail::require_operand("gradient", gradient, {parameters_.size(), 1}, parameters_.type(),
                          context.device());
  ++steps_;
  if (const auto* sgd = std::get_if<Sgd>(&options_.rule)) {
    sgd_step(*sgd, gradient);
  } else {
    adam_step(std::get<Adam>(options_.rule), gradient);
  }
}

void FirstOrder::sgd_step(const Sgd& sgd, const ConstView& gradient) {
  Backend& backend = parameters_.context().state().backend();
  backend.axpby(1.0, gradient, sgd.momentum, mean_);
  const double keep = 1 - options_.rate * options_.weight_decay;
  for (int i = 0; i < parameters_.segments(); ++i) {
    backend.axpby(options_.rate, parameters_.part({i}, mean_.view()), keep,
                  parameters_.tensor({i}));
  }
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

}  // namespace natgrad
