// What an optimizer holds from step to step.

#include "core/context_state.hpp"
#include "core/message.hpp"
#include "curvature/groups.hpp"
#include "natgrad/error.hpp"
#include "optimizer/natural_gradient_state.hpp"
#include "optimizer/settings.hpp"

#include <utility>

namespace natgrad {

using detail::message;

detail::CurvatureOptions detail::curvature_options(const NaturalGradient::Options& options,
                                                   const Parameters& parameters,
                                                   const ActiveParameters& active) {
  return {.structure = options.structure,
          .scaling = options.damping.scaling,
          .groups = active_groups("optimizer", options.structure, options.groups, parameters,
                                  active.segments()),
          .form = options.form,
          .type = parameters.type(),
          .gram_type = options.gram_type,
          .refinement = options.refinement,
          .allow_tf32 = options.allow_tf32};
}

NaturalGradient::State::State(Parameters given, Options wanted)
    : parameters(std::move(given)),
      options(std::move(wanted)),
      backend(parameters.context().state().backend()),
      active(parameters, options),
      rule(detail::make_step_rule(options.step)),
      damping(
          detail::make_damping(options.damping, detail::l2_by_tensor(options) ? 0 : options.l2)),
      momentum(detail::make_momentum(options.momentum)),
      shapes({.active = active,
              .rule = *rule,
              .damping = *damping,
              .momentum = *momentum,
              .l2 = options.l2,
              .l2_by_tensor = detail::l2_by_tensor(options),
              .weight_decay = options.weight_decay}),
      ring(options.structure),
      memory(parameters.context(), parameters.type()) {
  make_curvatures();
}

void NaturalGradient::State::make_curvatures() {
  const auto curvature = detail::curvature_options(options, parameters, active);
  auto new_whole = detail::make_curvature(parameters.context(), curvature);
  parts = detail::make_curvature(parameters.context(), curvature);
  whole = std::move(new_whole);
}

/// Takes in parameters that were added before the first step.
void NaturalGradient::State::follow_parameters() {
  active.follow_tensors();
  if (active.total() == parameters.size()) return;
  if (!scalar_memory.empty()) {
    throw ArgumentError(message("optimizer: the parameters have grown from ", active.total(),
                                " to ", parameters.size(), " since the first step"));
  }
  // Nothing has changed where this throws.
  detail::ActiveParameters grown(parameters, options);
  std::swap(active, grown);
  try {
    make_curvatures();
  } catch (...) {
    std::swap(active, grown);
    throw;
  }
}

/// Allocates what lasts; nothing has changed when it throws.
void NaturalGradient::State::prepare() {
  follow_parameters();
  if (!scalar_memory.empty()) return;
  const Context& context = parameters.context();
  const auto lay_out = [&](detail::Carver& carver) {
    const detail::LoopScalars laid_out(carver);
    rule->layout(carver);
    damping->layout(carver);
    momentum->layout(carver);
    return laid_out;
  };
  detail::Carver count;
  lay_out(count);
  ring.allocate(context);
  Array new_momentum;
  if (remembers()) {
    new_momentum = context.array({active.size(), 1}, parameters.type());
    backend.fill(0, new_momentum);
  }
  Array new_scalars = context.array({count.bytes() / 8, 1}, ElementType::float64);
  backend.fill(0, new_scalars);
  detail::Carver carver(new_scalars.view().data(), new_scalars.view().device());
  scalars = lay_out(carver);
  rule->upload(backend);
  damping->upload(backend);
  momentum->upload(backend);
  detail::upload_rate(backend, rule->rate(), options, scalars);
  use_momentum(new_momentum.view());
  momentum_memory = std::move(new_momentum);
  scalar_memory = std::move(new_scalars);  // says that all is there
}

void NaturalGradient::State::use_momentum(const View& numbers) {
  if (rule->memory_name() != nullptr) {
    rule->use(numbers);
  } else if (momentum->remembers()) {
    momentum->use(numbers);
  }
}

void NaturalGradient::State::set_factors(const char* caller, const Options& changed) {
  require_idle(caller);
  detail::check_options(changed, parameters.type());
  follow_parameters();
  detail::ActiveParameters other(parameters, changed);
  Options taken = changed;
  if (active.freezes_like(other)) {
    active.take_factors(other);
  } else {
    partial.require_empty(caller);
    replace_active(other, changed);
  }
  options = std::move(taken);
}

/// Other frozen tensors: all that knows the places of the others is made anew.
void NaturalGradient::State::replace_active(detail::ActiveParameters& changed,
                                            const Options& options_of_it) {
  const auto curvature = detail::curvature_options(options_of_it, parameters, changed);
  Outgrown fresh{.whole = detail::make_curvature(parameters.context(), curvature),
                 .parts = detail::make_curvature(parameters.context(), curvature),
                 .momentum = {}};
  outgrown.reserve(outgrown.size() + 1);
  if (!momentum_memory.empty()) {
    fresh.momentum = parameters.context().array({changed.size(), 1}, parameters.type());
    changed.carry_over(backend, active, momentum_memory, fresh.momentum);
  }
  // Nothing throws from here on.
  std::swap(active, changed);
  std::swap(whole, fresh.whole);
  std::swap(parts, fresh.parts);
  if (!momentum_memory.empty()) {
    std::swap(momentum_memory, fresh.momentum);
    use_momentum(momentum_memory);
  }
  within_budget.forget();
  if (backend.was_captured()) outgrown.push_back(std::move(fresh));
}

detail::BatchContract NaturalGradient::State::contract() const {
  return {.parameters = parameters,
          .active = active,
          .options = options,
          .rule = rule->needs(),
          .damping = damping->needs(),
          .form = options.form,
          .damped = damping->damped(),
          .starts = momentum->starts_solve()};
}

void NaturalGradient::State::discard() {
  partial.clear();
  parts->forget();
}

}  // namespace natgrad
