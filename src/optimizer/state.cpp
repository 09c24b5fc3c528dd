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
      damping(options.damping, options.l2),
      momentum(detail::make_momentum(options.momentum)),
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
    damping.layout(carver);
    momentum->layout(carver);
    return laid_out;
  };
  detail::Carver count;
  lay_out(count);
  ring.allocate(context);
  Array new_momentum;
  if (momentum->remembers()) {
    new_momentum = context.array({active.size(), 1}, parameters.type());
    backend.fill(0, new_momentum);
  }
  Array new_scalars = context.array({count.bytes() / 8, 1}, ElementType::float64);
  backend.fill(0, new_scalars);
  detail::Carver carver(new_scalars.view().data(), new_scalars.view().device());
  scalars = lay_out(carver);
  rule->upload(backend);
  damping.upload(backend);
  momentum->upload(backend);
  detail::upload_rate(backend, rule->rate(), options, scalars);
  momentum->use(new_momentum.empty() ? View() : new_momentum.view());
  momentum_memory = std::move(new_momentum);
  scalar_memory = std::move(new_scalars);  // says that all is there
}

detail::BatchContract NaturalGradient::State::contract() const {
  return {.parameters = parameters,
          .active = active,
          .options = options,
          .rule = rule->needs(),
          .form = options.form,
          .damped = damping.damped(),
          .starts = momentum->starts_solve()};
}

/// What a call's memory and work take from the optimizer, whatever its batch.
detail::StepShape NaturalGradient::State::loop_shape(detail::Phase phase,
                                                     bool with_momentum) const {
  const bool scaled = with_momentum && active.scaled();
  detail::StepShape shape;
  shape.batch = {.parameters = active.size(),
                 .phase = phase,
                 .has_previous = with_momentum && momentum->starts_solve(),
                 .measures = scaled || (with_momentum && momentum->changes_direction()),
                 .bounds_form = with_momentum && rule->needs().full_matrix,
                 .damped = damping.damped(),
                 .l2 = options.l2,
                 .tensors = active.places()};
  if (scaled && phase != detail::Phase::part) shape.scaled = active.size();
  return shape;
}

detail::StepShape NaturalGradient::State::shape_of(const Batch& batch, detail::Phase phase,
                                                   bool with_momentum) {
  const detail::ScoreSet& rows = batch.fisher.rows();
  detail::StepShape shape = loop_shape(phase, with_momentum);
  shape.batch.uses = active.uses(rows, fisher_uses);
  shape.batch.rows = rows.size();
  shape.batch.batch_rows = rows.batch_samples();
  shape.batch.centering = rows.centering();
  shape.batch.gradient_given = batch.gradient.given();
  if (batch.gradient.rows() != nullptr) {
    const detail::ScoreSet& other = batch.gradient.rows()->rows();
    shape.gradient_uses = active.uses(other, gradient_uses);
    shape.gradient_rows = other.size();
  }
  return shape;
}

/// Of the solve of all parts.
detail::StepShape NaturalGradient::State::shape_of_parts() {
  detail::StepShape shape = loop_shape(detail::Phase::finish, true);
  shape.batch.rows = shape.batch.batch_rows = partial.batch_rows();
  shape.batch.centering = partial.centering();
  shape.batch.gradient_given = partial.gradient_given();
  return shape;
}

void NaturalGradient::State::discard() {
  partial.clear();
  parts->forget();
}

}  // namespace natgrad
