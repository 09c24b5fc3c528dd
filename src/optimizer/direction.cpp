// The direction of a batch, for an optimizer of the caller's.

#include "core/context_state.hpp"
#include "core/message.hpp"
#include "core/operands.hpp"
#include "core/overlap.hpp"
#include "natgrad/error.hpp"
#include "optimizer/natural_gradient_state.hpp"

namespace natgrad {

using detail::Lifetime;
using detail::Phase;
using detail::scalar;

/// What a call writes beside the parameters: P numbers, apart from them.
void NaturalGradient::State::check_numbers(const char* caller, const View& numbers) const {
  detail::require_operand(caller, numbers, {parameters.size(), 1}, parameters.type(),
                          parameters.context().state().memory());
  for (int i = 0; i < parameters.segments(); ++i) {
    detail::require_disjoint(caller, numbers, parameters.name({i}), parameters.tensor({i}));
  }
}

void NaturalGradient::State::require_proposes() const {
  for (const detail::StrategyNeeds& needs : {rule->needs(), damping->needs()}) {
    if (!needs.loss && !needs.residuals) continue;
    throw ArgumentError(
        detail::message("propose: ", needs.name,
                        " tries parameters, which a step that is handed out leaves alone"));
  }
}

/// The step v, with its rate, in the place of its movement of the parameters.
void NaturalGradient::State::hand_out(const View& v, const View& proposal) {
  const View& all = memory.buffers().proposed;
  active.scatter(backend, v, all);
  backend.axpby(0.0, all, scalar(scalars.step, &StepScalars::rate), all);
  backend.commit(scalar(scalars.step, &StepScalars::accept), all, proposal);
}

void NaturalGradient::State::propose(const Batch* batch, const View& out) {
  require_idle("propose");
  require_proposes();
  check_numbers("propose", out);
  if (batch == nullptr) return step_parts(out);
  step(*batch, out);
}

void NaturalGradient::State::direction(const Batch& batch, const View& out) {
  require_idle("direction");
  follow_parameters();
  detail::check_batch("direction", batch, contract());
  detail::require_whole_batch("direction", batch);
  check_numbers("direction", out);
  require_budget(shapes.of(batch, Phase::whole, true));  // of a step of this batch
  detail::StepShape shape = shapes.of(batch, Phase::whole, false);
  if (active.frozen()) shape.scaled = parameters.size();  // with zeros for what is frozen
  prepare();
  memory.lay_out(*whole, shape);
  whole->accumulate({batch.fisher.rows(), shape.batch.uses}, Lifetime::borrowed);
  solve(*whole, batch.gradient, {});
  detail::judge_direction(backend, *whole, scalars.step, scalars.direction);

  const View& d = whole->direction();
  const View& all = active.frozen() ? memory.buffers().scaled : d;
  if (active.frozen()) active.scatter(backend, d, all);
  backend.commit(scalar(scalars.step, &StepScalars::accept), all, out);
  direction_form = whole->form();
}

}  // namespace natgrad
