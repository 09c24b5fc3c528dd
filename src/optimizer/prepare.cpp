// What an optimizer holds from step to step, and what a batch must be.

#include "core/context_state.hpp"
#include "core/message.hpp"
#include "core/operands.hpp"
#include "core/overlap.hpp"
#include "fisher/form.hpp"
#include "natgrad/error.hpp"
#include "optimizer/natural_gradient_state.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

namespace natgrad {

using detail::message;

NaturalGradient::State::State(Parameters given, Options wanted)
    : parameters(std::move(given)),
      options(std::move(wanted)),
      backend(parameters.context().state().backend()),
      active(parameters, options) {}

double NaturalGradient::State::spring() const {
  const auto* rule = std::get_if<Spring>(&options.momentum);
  return rule == nullptr ? 0 : rule->decay;
}

double NaturalGradient::State::heavy_ball() const {
  const auto* rule = std::get_if<HeavyBall>(&options.momentum);
  return rule == nullptr ? 0 : rule->decay;
}

bool NaturalGradient::State::damped() const {
  return options.damping.absolute > 0 || options.damping.relative > 0 || options.l2 > 0;
}

/// The settings of a step, to the device.
void NaturalGradient::State::upload_options() {
  if (scalars.empty()) return;
  const auto* ball = std::get_if<KlTrustRegion>(&options.step);
  const auto put = [&](double value, double StepScalars::*name) {
    backend.fill(value, field(name));
  };
  put(ball != nullptr ? ball->max_rate : std::get<FixedRate>(options.step).rate,
      &StepScalars::rate);
  put(ball != nullptr ? ball->radius : 0, &StepScalars::kl_radius);
  put(static_cast<double>(options.schedule.decay), &StepScalars::schedule);
  put(static_cast<double>(options.schedule.steps), &StepScalars::schedule_steps);
  put(options.max_norm, &StepScalars::max_norm);
  put(options.weight_decay, &StepScalars::weight_decay);
  put(options.damping.absolute, &StepScalars::absolute_damping);
  put(options.damping.relative, &StepScalars::relative_damping);
  put(options.l2, &StepScalars::l2);
  put(spring(), &StepScalars::spring);
}

/// The options with the rate and damping of other scalars.
NaturalGradient::Options NaturalGradient::State::adopted(const StepScalars& loaded) const {
  Options adopted = options;
  if (auto* ball = std::get_if<KlTrustRegion>(&adopted.step))
    ball->max_rate = loaded.rate;
  else
    adopted.step = FixedRate{loaded.rate};
  adopted.damping = {.absolute = loaded.absolute_damping, .relative = loaded.relative_damping};
  return adopted;
}

/// After other scalars were loaded: rate and damping are theirs, the rest stays as it was asked
/// for.
void NaturalGradient::State::adopt_scalars() {
  StepScalars loaded{};
  backend.download(scalars, &loaded);
  options = adopted(loaded);
  upload_options();
  discard();
}

/// Takes in parameters that were added before the first step.
void NaturalGradient::State::follow_parameters() {
  if (active.total() == parameters.size()) return;
  if (!scalars.empty()) {
    throw ArgumentError(message("optimizer: the parameters have grown from ", active.total(),
                                " to ", parameters.size(), " since the first step"));
  }
  active = detail::Active(parameters, options);
}

void NaturalGradient::State::prepare() {
  follow_parameters();
  if (!scalars.empty()) return;
  const Context& context = parameters.context();
  const std::int64_t width = step_scalars_count;
  Array new_ring = context.state().visible_array({ring_slots, width}, ElementType::float64);
  Array new_direction_scalars = context.array({width, 1}, ElementType::float64);
  Array new_momentum;
  if (!std::holds_alternative<NoMomentum>(options.momentum)) {
    new_momentum = context.array({active.size(), 1}, parameters.type());
    backend.fill(0, new_momentum);
  }
  Array new_scalars = context.array({width, 1}, ElementType::float64);
  backend.fill(0, new_scalars);
  backend.fill(0, new_ring);
  ring = std::move(new_ring);
  direction_scalars = std::move(new_direction_scalars);
  momentum = std::move(new_momentum);
  scalars = std::move(new_scalars);
  try {
    upload_options();
  } catch (...) {
    scalars = {};  // they are what says that all is prepared
    throw;
  }
}

void NaturalGradient::State::check_rule(const char* caller, FisherKind kind) const {
  const auto* ball = std::get_if<KlTrustRegion>(&options.step);
  if (ball == nullptr || ball->allow_empirical || kind != FisherKind::empirical) return;
  throw ArgumentError(message(
      caller,
      ": KlTrustRegion needs rows of the Fisher: .kind = FisherKind::sampled where they are "
      "drawn from the model, or exact; these are empirical, which "
      ".allow_empirical takes as they are"));
}

/// For a gradient of its own, at which a singular F has no direction.
void NaturalGradient::State::require_damping(const char* caller, std::int64_t rows) const {
  if (damped() || (options.form != Form::dual && active.size() <= rows)) return;
  throw ArgumentError(message(caller,
                              ": a gradient of its own needs damping > 0 where F is singular: in "
                              "the dual form, and with fewer rows than parameters"));
}

void NaturalGradient::State::check_gradient(const char* caller, const detail::ScoreSet& rows,
                                            const GradientSource& gradient) const {
  if (!gradient.given()) {
    rows.require_gradient(caller);
    if (rows.kind() != FisherKind::sampled || !rows.set().coefficients.empty()) return;
    throw ArgumentError(message(caller,
                                ": the mean of sampled rows is no gradient of the data; give the "
                                "batch a .gradient, or the rows .coefficients"));
  }
  if (rows.centering() == Centering::fisher_only) {
    throw ArgumentError(message(
        caller,
        ": .centering = Centering::fisher_only goes with the rows' own gradient; centre them"));
  }
  require_damping(caller, rows.batch_samples());
  if (gradient.rows() != nullptr) {
    const detail::ScoreSet& other = gradient.rows()->rows();
    other.require_rows({caller, "gradient"}, parameters);
    if (other.centering() != Centering::none) {
      throw ArgumentError(message(
          caller, ": the rows of .gradient are not centred; centre their coefficients instead"));
    }
    const bool whole = rows.size() == rows.batch_samples();
    if (whole && other.size() != other.batch_samples()) {
      throw ArgumentError(message(caller, ": the rows of .gradient are ", other.size(), " of ",
                                  other.batch_samples(), " samples, those of .fisher are whole"));
    }
    return;
  }
  const Gradient& numbers = *gradient.numbers();
  detail::require_operand({caller, "gradient"}, numbers.view, {parameters.size(), 1},
                          parameters.type(), parameters.context().state().memory());
  if (!std::isfinite(numbers.scale)) {
    throw OptionError(message(caller, ": gradient .scale = ", numbers.scale, ", must be finite"));
  }
}

void NaturalGradient::State::check(const char* caller, const Batch& batch) {
  const detail::ScoreSet& rows = batch.fisher.rows();
  rows.require_rows(caller, parameters);
  follow_parameters();
  check_rule(caller, rows.kind());
  check_gradient(caller, rows, batch.gradient);
  if (rows.centering() == Centering::fisher_only && (spring() > 0 || options.l2 > 0)) {
    throw ArgumentError(message(
        caller, ": .centering = Centering::fisher_only goes with neither SPRING nor a penalty"));
  }
}

detail::BatchShape NaturalGradient::State::batch_shape(const Batch& batch) {
  const detail::ScoreSet& rows = batch.fisher.rows();
  detail::BatchShape shape{.blocks = active.blocks(rows, fisher_blocks),
                           .rows = rows.size(),
                           .batch_rows = rows.batch_samples(),
                           .centering = rows.centering(),
                           .general = batch.gradient.given()};
  if (batch.gradient.rows() != nullptr) {
    const detail::ScoreSet& other = batch.gradient.rows()->rows();
    shape.gradient_blocks = active.blocks(other, gradient_blocks);
    shape.gradient_rows = other.size();
  }
  return shape;
}

detail::BatchShape NaturalGradient::State::gathered_shape() const {
  detail::BatchShape shape{.rows = gathered.batch_rows,
                           .batch_rows = gathered.batch_rows,
                           .centering = gathered.centering,
                           .general = gathered.general,
                           .accumulated = true,
                           .form = gathered.form};
  if (gathered.form == Form::dual) shape.blocks = gathered.kept.blocks().blocks;
  return shape;
}

Form NaturalGradient::State::form_of(const detail::BatchShape& batch) const {
  if (batch.form != Form::automatic) return batch.form;
  const ElementType type = parameters.type();
  return detail::choose_form(
      {.form = options.form,
       .damped = damped(),
       .rows = batch.batch_rows,
       .parameters = active.size(),
       .gram_operations = detail::gram_operations(batch.blocks, batch.rows, backend.row_costs()),
       .tile_rows = detail::primal_tile_rows,
       .type = type,
       .gram = batch.centering != Centering::none ? ElementType::float64
                                                  : options.gram_type.value_or(type)});
}

detail::StepShape NaturalGradient::State::step_shape(const detail::BatchShape& batch,
                                                     bool with_momentum) const {
  const ElementType type = parameters.type();
  detail::StepShape shape;
  shape.accumulated = batch.accumulated;
  shape.scaled = with_momentum && active.scaled() ? active.size() : 0;
  shape.solve = {.form = form_of(batch),
                 .rows = batch.batch_rows,
                 .parameters = active.size(),
                 .type = type,
                 .gram = batch.centering != Centering::none ? ElementType::float64
                                                            : options.gram_type.value_or(type),
                 .refinement = options.refinement,
                 .mode = backend.math_mode(options.allow_tf32),
                 .centering = batch.centering,
                 .general = batch.general,
                 .based = (with_momentum && spring() > 0) || options.l2 > 0};
  shape.solve.ask_factor_work(backend);
  const auto scratch = [&](std::span<const LayerUse> blocks, std::int64_t rows,
                           ElementType result) {
    return backend.rows_scratch(blocks, rows, type, result);
  };
  if (shape.solve.dual()) {
    shape.work = std::max(scratch(batch.blocks, batch.batch_rows, shape.solve.gram),
                          scratch(batch.blocks, batch.batch_rows, shape.solve.vectors()));
  } else if (!shape.accumulated) {
    shape.work = scratch(batch.blocks, batch.rows, ElementType::float64);
    shape.tile_rows = std::min(detail::primal_tile_rows, batch.rows);
  }
  if (batch.gradient_rows > 0 && !shape.accumulated) {
    shape.gradient_rows = batch.gradient_rows;
    shape.work = std::max(
        shape.work, scratch(batch.gradient_blocks, batch.gradient_rows, shape.solve.vectors()));
  }
  return shape;
}

/// Of one call that gathers a part of a batch.
detail::StepShape NaturalGradient::State::gather_shape(const detail::BatchShape& batch) const {
  detail::StepShape shape = step_shape(batch, true);
  shape.work = 0;
  shape.tile_rows = 0;
  const auto scratch = [&](std::span<const LayerUse> blocks, std::int64_t rows) {
    return backend.rows_scratch(blocks, rows, parameters.type(), ElementType::float64);
  };
  if (!shape.solve.dual()) {
    shape.work = scratch(batch.blocks, batch.rows);
    shape.tile_rows = std::min(detail::primal_tile_rows, batch.rows);
  }
  if (batch.gradient_rows > 0) {
    shape.work = std::max(shape.work, scratch(batch.gradient_blocks, batch.gradient_rows));
  }
  return shape;
}

}  // namespace natgrad
